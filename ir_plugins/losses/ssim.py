"""Structural similarity of pictures in 0..1, on one scale and on several.

B batch, C channels, H x W picture, h x w places of a window of 11 inside it: 10 fewer each way
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basicsr.losses.loss_util import weight_reduce_loss
from basicsr.utils.registry import LOSS_REGISTRY

from ..runtime.arguments import check_side
from .pairs import full_precision

SIDE, SIGMA = 11, 1.5  # of the gaussian window
C1, C2 = 0.01**2, 0.03**2
LEAST_SIMILARITY = 1e-6  # its fractional power has a finite gradient


def gaussian() -> Tensor:
    """The window along one axis: (11,), its sum 1."""
    weights = [math.exp(-0.5 * ((i - SIDE // 2) / SIGMA) ** 2) for i in range(SIDE)]
    return torch.tensor(weights) / sum(weights)


def similarity(x: Tensor, y: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its factor of contrast and structure around each pixel, both (B, C, h, w).

        SSIM = (2 μx μy + C1) / (μx² + μy² + C1) · cs,    cs = (2 cov(x, y) + C2) / (var x + var y + C2)

    Args:
        x: (B, C, H, W), H and W at least 11.
        y: (B, C, H, W).
        window: Along one axis, (11,).
    """
    # a variance is the small difference of two large means: bfloat16, with steps of 1/256 below 1, would
    # leave nothing of one that is compared with C2 = 0.0009
    with torch.autocast(x.device.type, enabled=False):
        terms = torch.stack([x, y, x * x + y * y, x * y])
        window = window.to(terms)
        rows = F.conv2d(terms.flatten(0, 2)[:, None], window[:, None].expand(1, 1, -1, 1))  # (4BC, 1, h, W)
        means = F.conv2d(rows, window.expand(1, 1, 1, -1))
        mean_x, mean_y, squares, product = means.reshape(4, *x.shape[:2], *means.shape[-2:])
        mean_product, mean_squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        contrast = (2 * (product - mean_product) + C2) / (squares - mean_squares + C2)
        return (2 * mean_product + C1) / (mean_squares + C1) * contrast, contrast


@LOSS_REGISTRY.register()
class SSIMLoss(nn.Module):
    """1 - SSIM, averaged over pixels and channels (Wang et al. 2004, eq. 13).

    The window is a gaussian of 11 pixels with sigma 1.5, and lies wholly inside the picture; pictures are in
    0..1, K1 = 0.01 and K2 = 0.03.

    Args:
        loss_weight: A factor.
    """

    window: Tensor

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight
        self.register_buffer("window", gaussian(), persistent=False)

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss, one number in 0..2.

        Args:
            pred: (B, C, H, W), in 0..1.
            target: (B, C, H, W), in 0..1.
            weight: Weight of the pixel in the middle of each window, (B, 1 or C, H, W); default: all alike.

        Raises:
            ValueError: Shapes differ, or H or W is below 11.
        """
        pred, target = full_precision(pred, target)
        check_side(*pred.shape[-2:], SIDE, "raise gt_size, or take a loss of single pixels")
        ssim, _ = similarity(pred, target, self.window)
        edge = SIDE // 2
        if weight is not None:
            weight = weight[..., edge:-edge, edge:-edge]
        return self.loss_weight * weight_reduce_loss(1 - ssim, weight, "mean")


@LOSS_REGISTRY.register()
class MSSSIMLoss(nn.Module):
    """1 - MS-SSIM, averaged over pictures and channels (Wang, Simoncelli and Bovik 2003, eq. 7).

        MS-SSIM = SSIM_M^w_M · Π_{j<M} cs_j^w_j

    of means over the picture, as in the authors' code.  Between scales each 2x2 pixels become their average;
    at an odd side the last ones are averaged alone, so n pixels become ⌈n / 2⌉.  Each scale's window is
    SSIM's, 11 pixels, so M scales need a side of at least 10 · 2^(M-1) + 1: 161 for the paper's five.  A
    negative mean (of a picture and its negative, say) counts as 1e-6, without a gradient.

    Args:
        loss_weight: A factor.
        weights: Weight of each scale, the finest first; default: the paper's five.  Fewer weights, fewer
            scales.

    Raises:
        ValueError: There are no weights, or one is not above 0.
    """

    window: Tensor

    def __init__(
        self,
        loss_weight: float = 1.0,
        weights: Sequence[float] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    ):
        super().__init__()
        if not weights or not all(weight > 0 for weight in weights):
            raise ValueError(f"{weights=} must be numbers above 0, one for each scale")
        self.loss_weight, self.weights = loss_weight, tuple(weights)
        self.least_side = (SIDE - 1) * 2 ** (len(weights) - 1) + 1
        self.register_buffer("window", gaussian(), persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, one number in 0..1.

        Args:
            pred: (B, C, H, W), in 0..1.
            target: (B, C, H, W), in 0..1.

        Raises:
            ValueError: Shapes differ, or H or W is too small for the number of scales.
        """
        pred, target = full_precision(pred, target)
        scales = len(self.weights)
        way_out = f"raise gt_size, or give fewer than the {scales} weights, one per scale"
        check_side(*pred.shape[-2:], self.least_side, way_out)
        total = pred.new_ones(pred.shape[:2])
        for scale, weight in enumerate(self.weights, start=1):
            ssim, contrast = similarity(pred, target, self.window)
            mean = (ssim if scale == scales else contrast).mean((2, 3))  # (B, C)
            total = total * mean.clamp(min=LEAST_SIMILARITY) ** weight
            if scale < scales:
                # in ceil mode the average is of the pixels that are there
                pred, target = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (pred, target))
        return self.loss_weight * (1 - total.mean())
