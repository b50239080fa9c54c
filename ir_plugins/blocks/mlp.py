"""The plain feed-forward of a transformer."""

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import check_rates, hidden_channels
from .reach import Reach
from .registry import register_ffn


@register_ffn("mlp")
class Mlp(nn.Module):
    """Linear, GELU, linear on each pixel: (B, C, H, W) -> same.  Paper: Vaswani et al., NeurIPS 2017, section
    3.3.

    Args:
        dim: Channels.
        ratio: Hidden channels are int(dim ratio), default 2.
        drop: Dropout rate after each linear layer, in [0, 1), default 0.

    Raises:
        ValueError: If no hidden channels are left, or the rate is outside its range.
    """

    paper = "Transformer, NeurIPS 2017"
    complexity = "2 HW C² ratio"
    reach = Reach("halo", 0)

    def __init__(self, *, dim: int, ratio: float = 2.0, drop: float = 0.0):
        super().__init__()
        check_rates(drop=drop)
        self.fc1 = nn.Linear(dim, hidden_channels(dim, ratio))
        self.fc2 = nn.Linear(self.fc1.out_features, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(F.gelu(self.fc1(x.permute(0, 2, 3, 1))))
        return self.drop(self.fc2(y)).permute(0, 3, 1, 2)
