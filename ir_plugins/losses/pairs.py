"""Check and convert the two pictures of a loss."""

import torch
from torch import Tensor


def full_precision(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both pictures in float32, or in float64 if they are float64.

    Args:
        pred: (B, C, H, W).
        target: (B, C, H, W).

    Raises:
        ValueError: Shapes differ or have no four axes.
    """
    if pred.shape != target.shape or pred.ndim != 4:
        shapes = f"pred {list(pred.shape)} and target {list(target.shape)}"
        raise ValueError(f"{shapes} must be of one shape (B, C, H, W)")
    return pred.to(_at_least_float32(pred)), target.to(_at_least_float32(target))


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
