"""Losses of single pixels."""

import math
from typing import Literal

from torch import Tensor, nn

from basicsr.losses.loss_util import reduce_loss, weight_reduce_loss
from basicsr.utils.registry import LOSS_REGISTRY

from .pairs import check_choice, check_positive, full_precision

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # BT.601, studio range, of R, G and B in 0..1


def charbonnier(error: Tensor, eps: float) -> Tensor:
    """√(error² + eps²), of each number: a smooth |error|, whose gradient at 0 is 0."""
    return (error.square() + eps**2).sqrt()


@LOSS_REGISTRY.register()
class CharbonnierEps2Loss(nn.Module):
    """Charbonnier loss as papers write it: the mean of √((pred - target)² + eps²) (AST, MPRNet).

    BasicSR's CharbonnierLoss adds its eps unsquared, √(d² + eps), and has 1e-12 as default: the eps of 1e-3
    here is its eps of 1e-6.

    eps: where the loss turns from square to absolute.  loss_weight: a factor.  reduction: mean or sum over
    all numbers.  Raises ValueError where eps is not above 0 (there is no gradient at 0 then), or reduction is
    unknown.
    """

    def __init__(
        self, loss_weight: float = 1.0, reduction: Literal["mean", "sum"] = "mean", eps: float = 1e-3
    ):
        super().__init__()
        check_choice("reduction", reduction, ("mean", "sum"))
        check_positive("eps", eps)
        self.loss_weight, self.reduction, self.eps = loss_weight, reduction, eps

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """(B, C, H, W) twice -> one number.  weight: (B, 1 or C, H, W), of each pixel.

        Raises ValueError where shapes differ.
        """
        pred, target = full_precision(pred, target)
        loss = charbonnier(pred - target, self.eps)
        return self.loss_weight * weight_reduce_loss(loss, weight, self.reduction)


@LOSS_REGISTRY.register()
class PSNRLoss(nn.Module):
    """Negative PSNR in dB, 10 log10(mse + eps) of each picture in 0..1 (HINet, NAFNet).

    It lies below 0, and at -80 for equal pictures with the default eps.

    to_y: measure on the luma of RGB pictures, BT.601 in studio range, as super-resolution does.  eps: bounds
    the loss and its gradient.  loss_weight: a factor.  reduction: mean or sum over pictures.  Raises
    ValueError where eps is not above 0, or reduction is unknown.
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
        """(B, C, H, W) twice, in 0..1 -> one number.  weight: (B, 1 or C, H, W), of each pixel; with to_y,
        (B, 1, H, W).

        Raises ValueError where shapes differ, or to_y meets other than 3 channels.
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
