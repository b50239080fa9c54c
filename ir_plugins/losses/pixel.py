"""Losses that compare pixel by pixel."""

import math
from typing import Literal

from torch import Tensor, nn

from basicsr.losses.loss_util import reduce_loss, weight_reduce_loss
from basicsr.utils.registry import LOSS_REGISTRY

from ..runtime.arguments import check_choice, check_positive
from .pairs import full_precision

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # BT.601, studio range, of R, G and B in 0..1


def charbonnier(error: Tensor, eps: float) -> Tensor:
    """√(error² + eps²), of each number: a smooth |error|, whose gradient at 0 is 0.

    Args:
        error: Numbers in any shape.
        eps: Where it turns from square to absolute.
    """
    return (error.square() + eps**2).sqrt()


@LOSS_REGISTRY.register()
class CharbonnierEps2Loss(nn.Module):
    """Charbonnier loss as papers write it: the mean of √((pred - target)² + eps²) (AST, MPRNet).

    BasicSR's CharbonnierLoss adds its eps unsquared, √(d² + eps), and has 1e-12 as default: the eps of 1e-3
    here is its eps of 1e-6.

    Args:
        loss_weight: A factor.
        reduction: Mean or sum over all numbers.
        eps: Where the loss turns from square to absolute, above 0.

    Raises:
        ValueError: eps is not above 0 (there would be no gradient at 0), or reduction is unknown.
    """

    def __init__(
        self, loss_weight: float = 1.0, reduction: Literal["mean", "sum"] = "mean", eps: float = 1e-3
    ):
        super().__init__()
        check_choice("reduction", reduction, ("mean", "sum"))
        check_positive("eps", eps)
        self.loss_weight, self.reduction, self.eps = loss_weight, reduction, eps

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
        loss = charbonnier(pred - target, self.eps)
        return self.loss_weight * weight_reduce_loss(loss, weight, self.reduction)


@LOSS_REGISTRY.register()
class PSNRLoss(nn.Module):
    """Negative PSNR in dB, 10 log10(mse + eps) of each picture in 0..1 (HINet, NAFNet).

    It lies below 0, and at -80 for equal pictures with the default eps.

    Args:
        loss_weight: A factor.
        reduction: Mean or sum over pictures.
        to_y: Measure the luma of RGB pictures, BT.601 in studio range, as super-resolution does.
        eps: Bounds the loss and its gradient, above 0.

    Raises:
        ValueError: eps is not above 0, or reduction is unknown.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
        to_y: bool = False,
        eps: float = 1e-8,
    ):
        super().__init__()
        check_choice("reduction", reduction, ("mean", "sum"))
        check_positive("eps", eps)
        self.loss_weight, self.reduction, self.to_y, self.eps = loss_weight, reduction, to_y, eps

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss, one number.

        Args:
            pred: (B, C, H, W), in 0..1.
            target: (B, C, H, W), in 0..1.
            weight: Weight of each pixel, (B, 1 or C, H, W), with to_y (B, 1, H, W); default: all alike.

        Raises:
            ValueError: Shapes differ, or to_y meets other than 3 channels.
        """
        pred, target = full_precision(pred, target)
        error = pred - target
        if self.to_y:
            if error.shape[1] != 3:
                raise ValueError(f"to_y=True takes RGB pictures, not {error.shape[1]} channels; set it False")
            # of a difference, so the luma's offset of 16 cancels
            error = (error * error.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        square = error.square()
        if weight is None:
            mse = square.flatten(1).mean(1)
        else:
            mse = (square * weight).flatten(1).sum(1) / weight.expand_as(square).flatten(1).sum(1)
        return self.loss_weight * 10 / math.log(10) * reduce_loss((mse + self.eps).log(), self.reduction)
