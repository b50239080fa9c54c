"""Locally enhanced feed-forward (Uformer, CVPR 2022)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.convolution import depthwise
from .layers import hidden_channels, weights
from .reach import Reach
from .registry import register_ffn


@register_ffn("leff")
class LocallyEnhanced(nn.Module):
    """Linear, GELU, depthwise convolution, GELU, linear: (B, C, H, W) -> same.  Paper: Uformer, section 3.2.

    Args:
        dim: Channels.
        ratio: Hidden channels are int(dim ratio), default 4.

    Raises:
        ValueError: If no hidden channels are left.
    """

    paper = "Uformer, CVPR 2022"
    complexity = "2 HW C² ratio"
    reach = Reach("halo", 1)

    def __init__(self, *, dim: int, ratio: float = 4.0):
        super().__init__()
        hidden = hidden_channels(dim, ratio)
        # in lists, since the released weights number them
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden))
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.linear1(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        y = F.gelu(depthwise(y, *weights(self.dwconv[0])))
        return self.linear2(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
