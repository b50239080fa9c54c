"""The plain feed-forward of a transformer."""

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import check_rates, hidden_channels
from .registry import register_ffn


@register_ffn("mlp")
class Mlp(nn.Module):
    """Linear, GELU, linear on each pixel: (B, C, H, W) -> same.  Paper: Vaswani et al., NeurIPS 2017, section
    3.3.

    dim: channels.  ratio: hidden channels are int(dim ratio).  drop: dropout after each linear layer.
    """

    paper = "Transformer, NeurIPS 2017"
    complexity = "2 HW C² ratio"

    def __init__(self, *, dim: int, ratio: float = 2.0, drop: float = 0.0):
        super().__init__()
        check_rates(drop=drop)
        self.fc1 = nn.Linear(dim, hidden_channels(dim, ratio))
        self.fc2 = nn.Linear(self.fc1.out_features, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(F.gelu(self.fc1(x.permute(0, 2, 3, 1))))
        return self.drop(self.fc2(y)).permute(0, 3, 1, 2)
