"""A loss and a metric."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from basicsr.utils.registry import LOSS_REGISTRY, METRIC_REGISTRY


@LOSS_REGISTRY.register()
class LogCoshLoss(nn.Module):
    """Mean of log cosh of the error: squared where it is small, absolute where it is large.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, *, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, gt: Tensor, weight: Any = None) -> Tensor:
        """(B, C, H, W), (B, C, H, W) -> scalar."""
        error = output - gt
        return self.loss_weight * (error.abs() + (-2 * error.abs()).exp().log1p() - 0.6931471805599453).mean()


@METRIC_REGISTRY.register()
def largest_error(img: np.ndarray, img2: np.ndarray, crop_border: int = 0, **unused: Any) -> float:
    """The largest difference of two pictures (H, W, C), in 0..255.

    Args:
        img: The result.
        img2: The ground truth.
        crop_border: Pixels left out at each side.
    """
    inside = slice(crop_border, -crop_border or None)
    return float(np.abs(img[inside, inside].astype(float) - img2[inside, inside].astype(float)).max())
