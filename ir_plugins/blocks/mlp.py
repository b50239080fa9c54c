"""The plain feed-forward of a transformer."""

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Linear, GELU, Linear on each pixel: (B, C, H, W) -> same.  Paper: Vaswani et al., NeurIPS 2017, section
    3.3.
    """

    def __init__(self, *, dim: int, ratio: float = 2.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * ratio))
        self.fc2 = nn.Linear(int(dim * ratio), dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
