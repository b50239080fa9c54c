"""Make a picture's sides multiples of a number.

B batch, C channels, H x W picture
"""

import torch
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Picture (B, C, H, W), H, W >= 1, reflected at the bottom and right to the next multiples."""
    for axis in (-2, -1):
        length = x.shape[axis]
        whole = (length + multiple - 1) // multiple * multiple
        # an exported net serves sizes it was not traced with, so there the branch is always taken
        if torch.compiler.is_exporting() or whole != length:
            x = x.index_select(axis, _reflected(length, whole, x.device))
    return x


def crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The top left H x W of a picture (B, C, H', W')."""
    if not torch.compiler.is_exporting():
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
