"""Feature refinement feed-forward (AST, CVPR 2024)."""

from torch import Tensor, nn

from ..ops.feed_forward import Backend, feature_refinement
from .layers import hidden_channels, weights
from .registry import register_ffn


@register_ffn("frfn")
class FeatureRefinement(nn.Module):
    """A convolution of a quarter of the channels, then a gated pair of halves, one of them after a depthwise
    convolution: (B, C, H, W) -> same.  Paper: AST, section 3.3.

    dim: channels, at least 4.  ratio: the halves are int(dim ratio) channels wide.  backend: see
    `ops.feed_forward.feature_refinement`.
    """

    paper = "AST, CVPR 2024"
    complexity = "3 HW C² ratio"

    def __init__(self, *, dim: int, ratio: float = 4.0, backend: Backend = "auto"):
        super().__init__()
        if dim < 4:
            raise ValueError(f"frfn convolves a quarter of its channels: {dim=} must be at least 4")
        hidden = hidden_channels(dim, ratio)
        # in lists, since the released weights number them
        self.linear1 = nn.Sequential(nn.Linear(dim, 2 * hidden))
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))
        self.partial_conv3 = nn.Conv2d(dim // 4, dim // 4, 3, padding=1, bias=False)
        self.backend: Backend = backend

    def forward(self, x: Tensor) -> Tensor:
        layers = (weights(layer[0]) for layer in (self.linear1, self.dwconv, self.linear2))
        return feature_refinement(x, self.partial_conv3.weight, *layers, backend=self.backend)
