"""Gated-Dconv feed-forward (Restormer, CVPR 2022)."""

from torch import Tensor, nn

from ..ops.gating import gelu_gate
from .layers import Pointwise, depthwise, pointwise


class GatedDconvFeedForward(nn.Module):
    """GELU of one half gates the other, both after a depthwise convolution: (B, C, H, W) -> same.  Paper:
    Restormer, section 3.2.

    Complexity: 3 H W C² ratio.

    dim: channels.  ratio: the halves are int(dim ratio) channels wide.  bias: of the convolutions.
    """

    def __init__(self, *, dim: int, ratio: float = 2.66, bias: bool = False):
        super().__init__()
        hidden = int(dim * ratio)
        self.project_in = Pointwise(dim, 2 * hidden, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = Pointwise(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        # the halves are made apart: cut out of one picture, neither would lie in one piece
        x, gate = (depthwise(pointwise(x, *into), *around) for into, around in self._halves())
        return self.project_out(gelu_gate(x, gate))

    def _halves(self):
        def halves(layer: nn.Conv2d):
            biases = (None, None) if layer.bias is None else layer.bias.chunk(2)
            return zip(layer.weight.chunk(2), biases, strict=True)

        return zip(halves(self.project_in), halves(self.dwconv), strict=True)
