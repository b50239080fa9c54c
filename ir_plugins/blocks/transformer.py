"""The transformer block of AST and SemanIR."""

from typing import Any, Literal

from torch import Tensor, nn

from .designs import Maker
from .layers import ChannelNorm, DropPath

NormPlace = Literal["post", "pre"]


class TransformerBlock(nn.Module):
    """Attention, if the stage has any, and a feed-forward, each with a norm and a residual:
    (B, C, H, W) -> same.

    Args:
        dim: Channels C.
        num_heads: Heads of the attention.
        shifted: Whether windows start half a window later.
        ratio: Hidden channels of the feed-forward per channel.
        drop_path: Rate at which a sample skips a branch in training, in [0, 1).
        attention: Makes the attention, see `blocks.designs.attentions`; None: the block has none.
        ffn: Makes the feed-forward, see `blocks.designs.feed_forwards`.
        norm: "pre" normalises what enters an attention or feed-forward, "post" what leaves it (Swin V2).
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        shifted: bool,
        ratio: float,
        drop_path: float,
        attention: Maker | None,
        ffn: Maker,
        norm: NormPlace = "pre",
    ):
        super().__init__()
        self.is_post_norm = norm == "post"
        self.norm1 = self.attn = None
        if attention is not None:
            self.norm1 = ChannelNorm(dim)
            self.attn = attention(dim=dim, num_heads=num_heads, shifted=shifted)
        self.norm2 = ChannelNorm(dim)
        self.mlp = ffn(dim=dim, ratio=ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, shared: Any) -> Tensor:
        """x: (B, C, H, W) -> same."""
        if self.attn is not None:
            x = x + self.drop_path(self._normed(self.norm1, self.attn, x, shared))
        return x + self.drop_path(self._normed(self.norm2, self.mlp, x))

    def _normed(self, norm: Any, branch: nn.Module, x: Tensor, *shared: Any) -> Tensor:
        return norm(branch(x, *shared)) if self.is_post_norm else branch(norm(x), *shared)
