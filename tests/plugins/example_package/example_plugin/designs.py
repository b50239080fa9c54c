"""An attention and a feed-forward that every net of ir_plugins can take."""

from typing import Any

from torch import Tensor, nn

from ir_plugins import Attention, register_attention, register_ffn


@register_attention("gate")
class GateAttention(Attention):
    """Each head scales its channels by what the picture holds on average.

    Args:
        dim: Channels.
        num_heads: Must divide dim.
        shifted: Has no effect here.
        bias: Whether the projections add a constant.
    """

    paper = "an example"
    complexity = "O(H W C)"

    def __init__(self, *, dim: int, num_heads: int, shifted: bool = False, bias: bool = True):
        super().__init__(dim=dim, num_heads=num_heads, shifted=shifted)
        self.gate = nn.Conv2d(dim, dim, 1, groups=num_heads, bias=bias)
        self.project = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x: Tensor, shared: Any = None) -> Tensor:
        """(B, C, H, W) -> same."""
        return self.project(x * self.gate(x.mean((-2, -1), keepdim=True)).sigmoid())


@register_ffn("pointwise")
class Pointwise(nn.Module):
    """Two 1x1 convolutions.

    Args:
        dim: Channels.
        ratio: Hidden channels per channel.
    """

    paper = "an example"
    complexity = "O(H W C² ratio)"

    def __init__(self, *, dim: int, ratio: float = 2.0):
        super().__init__()
        hidden = max(1, int(dim * ratio))
        self.body = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.GELU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return self.body(x)
