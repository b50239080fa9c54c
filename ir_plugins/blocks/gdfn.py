"""Gated-Dconv feed-forward (Restormer, CVPR 2022)."""

from typing import get_args

from torch import Tensor, nn

from ..ops.choices import check_choice
from ..ops.feed_forward import Backend, gated_dconv
from .layers import hidden_channels, weights
from .reach import Reach
from .registry import register_ffn
from .surroundings import memory_here


@register_ffn("gdfn")
class GatedDconvFeedForward(nn.Module):
    """GELU of one half gates the other, both after a depthwise convolution: (B, C, H, W) -> same.  Paper:
    Restormer, section 3.2.

    Args:
        dim: Channels.
        ratio: The halves are int(dim ratio) channels wide, default 2.66.
        bias: Whether the convolutions have biases, default false.
        backend: See `ops.feed_forward.gated_dconv`; "auto", "reference" or "chunked".

    Raises:
        ValueError: If no hidden channels are left, or the backend is unknown.
    """

    paper = "Restormer, CVPR 2022"
    complexity = "3 HW C² ratio"
    reach = Reach("halo", 1)

    def __init__(self, *, dim: int, ratio: float = 2.66, bias: bool = False, backend: Backend = "auto"):
        super().__init__()
        check_choice("backend", backend, get_args(Backend))
        hidden = hidden_channels(dim, ratio)
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=bias)
        self.backend: Backend = backend

    def forward(self, x: Tensor) -> Tensor:
        layers = (weights(layer) for layer in (self.project_in, self.dwconv, self.project_out))
        return gated_dconv(x, *layers, backend=self.backend, memory=memory_here(x))
