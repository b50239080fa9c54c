"""Feature refinement feed-forward (AST, CVPR 2024)."""

from typing import get_args

from torch import Tensor, nn

from ..ops.choices import check_choice
from ..ops.feed_forward import Backend, feature_refinement
from .layers import hidden_channels, weights
from .reach import Reach
from .registry import register_ffn
from .surroundings import memory_here


@register_ffn("frfn")
class FeatureRefinement(nn.Module):
    """A convolution of a quarter of the channels, then a gated pair of halves, one of them after a depthwise
    convolution: (B, C, H, W) -> same.  Paper: AST, section 3.3.

    Args:
        dim: Channels, at least 4.
        ratio: The halves are int(dim ratio) channels wide, default 4.
        backend: See `ops.feed_forward.feature_refinement`; "auto", "reference" or "chunked".

    Raises:
        ValueError: If dim is less than 4, no hidden channels are left, or the backend is unknown.
    """

    paper = "AST, CVPR 2024"
    complexity = "3 HW C² ratio"
    reach = Reach("halo", 2)

    def __init__(self, *, dim: int, ratio: float = 4.0, backend: Backend = "auto"):
        super().__init__()
        if dim < 4:
            raise ValueError(f"frfn convolves a quarter of its channels: {dim=} must be at least 4")
        check_choice("backend", backend, get_args(Backend))
        hidden = hidden_channels(dim, ratio)
        # in lists, since the released weights number them
        self.linear1 = nn.Sequential(nn.Linear(dim, 2 * hidden))
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))
        self.partial_conv3 = nn.Conv2d(dim // 4, dim // 4, 3, padding=1, bias=False)
        self.backend: Backend = backend

    def forward(self, x: Tensor) -> Tensor:
        layers = (weights(layer[0]) for layer in (self.linear1, self.dwconv, self.linear2))
        return feature_refinement(
            x, self.partial_conv3.weight, *layers, backend=self.backend, memory=memory_here(x)
        )
