"""Loss in the Fourier domain."""

from typing import Literal

import torch
from torch import Tensor, nn

from basicsr.losses.loss_util import reduce_loss
from basicsr.utils.registry import LOSS_REGISTRY

from ..runtime.arguments import check_choice
from .pairs import full_precision


@LOSS_REGISTRY.register()
class FFTLoss(nn.Module):
    """Mean absolute difference of the pictures' Fourier transforms (MIMO-UNet, DeepRFT).

    That is, of |Re| and |Im| of F(pred) - F(target).  The transform is the real one, with half of the
    spectrum; the other half mirrors it.

    Args:
        loss_weight: A factor; MIMO-UNet adds 0.1 of this loss, DeepRFT 0.01.
        reduction: Mean or sum over all numbers, of which (B, C, H, W // 2 + 1) are complex.
        norm: With backward, numbers grow with the picture's sides, as √(H W) for noise; with ortho, they do
            not.

    Raises:
        ValueError: norm or reduction is unknown.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
        norm: Literal["backward", "ortho"] = "backward",
    ):
        super().__init__()
        check_choice("reduction", reduction, ("mean", "sum"))
        check_choice("norm", norm, ("backward", "ortho"))
        self.loss_weight, self.reduction, self.norm = loss_weight, reduction, norm

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, one number; in float32 even of bfloat16, which has no transform.

        Args:
            pred: (B, C, H, W).
            target: (B, C, H, W).

        Raises:
            ValueError: Shapes differ.
        """
        pred, target = full_precision(pred, target)
        # once, of the difference: the transform is linear
        spectrum = torch.fft.rfft2(pred - target, norm=self.norm)
        # not the modulus, which has no gradient at 0
        return self.loss_weight * reduce_loss(torch.view_as_real(spectrum).abs(), self.reduction)
