"""Make a picture's sides multiples of a number, and cut it back.

B batch, C channels, H x W picture
"""

import torch
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int, *, any_size: bool = False) -> Tensor:
    """Reflect a picture at the bottom and right until its sides are multiples of a number.

    Args:
        x: Picture (B, C, H, W), H and W at least 1.
        multiple: In pixels, at least 1.
        any_size: Whether the recorded graph has to serve sizes that it was not traced with, so that nothing
            may depend on this one.
    """
    for axis in (-2, -1):
        length = x.shape[axis]
        whole = (length + multiple - 1) // multiple * multiple
        if any_size or whole != length:
            x = x.index_select(axis, _reflected(length, whole, x.device))
    return x


def crop(x: Tensor, size: tuple[int, int], *, any_size: bool = False) -> Tensor:
    """The top left of a picture.

    Args:
        x: Picture (B, C, H', W').
        size: H and W in pixels, at most H' and W'.
        any_size: As `pad_to_multiple`.
    """
    if not any_size:
        return x[..., : size[0], : size[1]]
    # a slice asks whether it is shorter, which the exporter would have to answer once for all sizes
    for axis, length in zip((-2, -1), size, strict=True):
        x = x.index_select(axis, torch.arange(length, device=x.device))
    return x


def _reflected(length: int, whole: int, device: torch.device) -> Tensor:
    """0, 1, ..., length - 1, length - 2, ..., 0, and 0 from there on: `whole` of them.

    Unlike F.pad, it serves pictures with fewer pixels than there are to add.
    """
    index = torch.arange(whole, device=device)
    return torch.minimum(index, 2 * length - 2 - index).clamp(min=0)
