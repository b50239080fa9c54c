"""What every loss asks of its two pictures, and of the arguments that losses have in common."""

from collections.abc import Iterable

import torch
from torch import Tensor


def full_precision(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both (B, C, H, W) in float32, or in float64 where they are.  Raises ValueError where shapes differ."""
    if pred.shape != target.shape or pred.ndim != 4:
        shapes = f"pred {list(pred.shape)} and target {list(target.shape)}"
        raise ValueError(f"{shapes} must be of one shape (B, C, H, W)")
    return pred.to(_at_least_float32(pred)), target.to(_at_least_float32(target))


def check_side(picture: Tensor, least: int, way_out: str) -> None:
    """Raise ValueError where height or width is below `least`."""
    h, w = picture.shape[-2:]
    if min(h, w) < least:
        raise ValueError(f"a picture of {h}x{w} is too small, its least side is {least}; {way_out}")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError where the value of argument `name` is none of the choices."""
    if value not in (known := tuple(choices)):
        raise ValueError(f"{name}={value!r} is not one of {', '.join(known)}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError where the value of argument `name` is not above 0."""
    if not value > 0:
        raise ValueError(f"{name}={value!r} must be above 0")


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
