"""The transformer block of AST and SemanIR."""

from typing import Any, Literal

from torch import Tensor, nn

from .designs import Maker
from .layers import ChannelNorm, DropPath

Norm = Literal["post", "pre"]


class TransformerBlock(nn.Module):
    """Attention, where the stage has any, and a feed-forward, each with a norm and a residual:
    (B, C, H, W) -> same.

    norm: "pre": of what enters an attention or feed-forward, "post": of what leaves it (Swin V2).  drop_path:
    rate at which a sample skips a branch in training.  attention, ffn: see `blocks.designs`.
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
        norm: Norm = "pre",
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
        if self.attn is not None:
            x = x + self.drop_path(self._normed(self.norm1, self.attn, x, shared))
        return x + self.drop_path(self._normed(self.norm2, self.mlp, x))

    def _normed(self, norm: Any, branch: nn.Module, x: Tensor, *shared: Any) -> Tensor:
        return norm(branch(x, *shared)) if self.is_post_norm else branch(norm(x), *shared)
