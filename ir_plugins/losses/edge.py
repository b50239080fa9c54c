"""Edge loss: it compares the details that a blur removes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from basicsr.utils.registry import LOSS_REGISTRY

from .pairs import full_precision
from .pixel import CharbonnierEps2Loss

GAUSSIAN = (0.05, 0.25, 0.4, 0.25, 0.05)  # along one axis (Burt and Adelson 1983, a = 0.4)


def laplacian(x: Tensor) -> Tensor:
    """The finest level of a Laplacian pyramid: the picture minus a coarse copy, in the same shape.

    The coarser picture is blurred, loses every second pixel, gets zeros in their places, is made four times
    as bright, and blurred again.  Outside a picture its edge pixels repeat.

    Args:
        x: (B, C, H, W).
    """
    # autocast would blur in half precision, where most of the difference is rounding
    with torch.autocast(x.device.type, enabled=False):
        line = x.new_tensor(GAUSSIAN)
        kernel = torch.outer(line, line)[None, None]

        def blur(picture: Tensor, stride: int = 1) -> Tensor:
            return F.conv2d(F.pad(picture, (2, 2, 2, 2), mode="replicate"), kernel, stride=stride)

        single = x.flatten(0, 1)[:, None]  # (BC, 1, H, W)
        coarse = torch.zeros_like(single)
        coarse[..., ::2, ::2] = 4 * blur(single, stride=2)
        return (single - blur(coarse)).reshape(x.shape)


@LOSS_REGISTRY.register()
class EdgeLoss(CharbonnierEps2Loss):
    """Charbonnier loss of a Laplacian pyramid's finest level (MPRNet, eq. 3).

    The mean of √((Δpred - Δtarget)² + eps²), where Δ is the picture minus a coarse copy.  MPRNet adds 0.05 of
    it to its Charbonnier loss.

    Args:
        loss_weight: A factor.
        reduction: Mean or sum over all numbers.
        eps: Where the loss turns from square to absolute, above 0.

    Raises:
        ValueError: eps is not above 0, or reduction is unknown.
    """

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss, one number.

        Args:
            pred: (B, C, H, W).
            target: (B, C, H, W).
            weight: Weight of each pixel, (B, 1 or C, H, W); default: all alike.

        Raises:
            ValueError: Shapes differ.
        """
        pred, target = full_precision(pred, target)
        # Δ is linear: once, of the difference, instead of once of each
        detail = laplacian(pred - target)
        return super().forward(detail, torch.zeros_like(detail), weight)
