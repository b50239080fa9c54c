"""Continuous position bias."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.position import log_offsets, spread_offsets
from ..ops.precision import without_autocast


class ContinuousPositionBias(nn.Module):
    """A small net that turns the offset between two tokens into a bias per head (Swin V2, CVPR 2022, section
    3.3).

    Its size does not depend on the window, so the window may change without new parameters.
    """

    def __init__(self, *, num_heads: int, window_size: int, hidden: int = 512):
        super().__init__()
        self.window_size = window_size
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, num_heads, bias=False)

    def forward(self, window: tuple[int, int]) -> Tensor:
        """Bias (num_heads, N, N) in [0, 16] for the N = h w tokens of an h x w window."""
        offsets = log_offsets(window, self.window_size).to(self.fc1.weight)
        # fp32: 16 sigmoid(x) is added to logits, where half precision would round neighbours together
        with without_autocast(offsets):
            return spread_offsets(16 * self.fc2(F.relu(self.fc1(offsets))).sigmoid())
