"""Small layers that every block uses.  Pictures are (B, C, H, W) in channels-last memory."""

import torch
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: (B, C, H, W) -> same.  In channels-last memory nothing is
    copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Drop a residual branch per sample with probability `rate` while training (Huang et al., ECCV 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return x
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"
