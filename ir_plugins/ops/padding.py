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


def _reflected(length: int, whole: int, device: torch.device) -> Tensor:
    """0, 1, ..., length - 1, length - 2, ..., 0, 1, ...: `whole` of them.

    Unlike F.pad, reflection goes on where there is more to add than there are pixels.
    """
    period = max(1, 2 * length - 2)
    index = torch.arange(whole, device=device) % period
    return torch.minimum(index, period - index)
