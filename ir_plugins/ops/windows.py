"""Cut a picture into windows and put it together again.

B batch, C channels, H x W picture, M windows of a picture, N tokens (pixels) of a window
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .padding import crop

KEPT_NUMBERS = 1 << 22  # of the largest mask that is kept: 16 MiB, a picture of 256 x 256 in windows of 8 x 8


class WindowGrid(NamedTuple):
    """How a picture is cut.  Lengths are pairs (rows, columns), in pixels.

    Args:
        size: Size of the picture.
        window: Size of a window.
        shift: By how much windows start later.
        any_size: Whether a recorded graph has to serve sizes that it was not traced with, so that nothing may
            depend on this one.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]
    any_size: bool = False

    @property
    def padded(self) -> tuple[int, int]:
        """The picture's size once it is padded to whole windows."""
        (h, w), (rows, columns) = self.size, self.window
        return self._whole(h, rows), self._whole(w, columns)

    @property
    def is_whole(self) -> bool:
        """Whether every token of every window may see every other: no padding, no shift."""
        return not self.any_size and self.padded == self.size and self.shift == (0, 0)

    def _whole(self, length: int, window: int) -> int:
        # an exported net takes any size if the exporter never has to ask whether there is but one window
        least: Any = torch.sym_max(length, window + 1) if self.any_size else length
        return (least + window - 1) // window * window


def window_grid(
    size: tuple[int, int], window_size: int, shifted: bool = False, *, any_size: bool = False
) -> WindowGrid:
    """Cut a picture into windows, or into one along an axis that is shorter than a window.

    Args:
        size: H and W in pixels.
        window_size: Side of a window, in pixels.
        shifted: Whether windows start half a window later; not along an axis that one window covers.
        any_size: See `WindowGrid`.
    """
    window = (min(window_size, size[0]), min(window_size, size[1]))
    shift = tuple(w // 2 if shifted and length > w else 0 for w, length in zip(window, size, strict=True))
    return WindowGrid(size, window, (shift[0], shift[1]), any_size)


def fixed_grid(
    size: tuple[int, int], window_size: int, shifted: bool = False, *, any_size: bool = False
) -> WindowGrid:
    """Cut a picture into windows of one size, whatever the picture's.

    Args:
        size: H and W in pixels.
        window_size: Side of a window, in pixels.
        shifted: Whether windows start half a window later.
        any_size: See `WindowGrid`.
    """
    shift = window_size // 2 if shifted else 0
    return WindowGrid(size, (window_size, window_size), (shift, shift), any_size)


def partition(x: Tensor, grid: WindowGrid) -> Tensor:
    """Cut a picture into windows; zeros fill up what is missing at the bottom and right.

    Args:
        x: Picture (B, C, H, W).
        grid: How to cut it.

    Returns:
        Windows (B, M, N, C).
    """
    (h, w), (hp, wp) = grid.size, grid.padded
    x = x.permute(0, 2, 3, 1)  # channels last, so that every copy moves whole tokens
    if grid.any_size or (hp, wp) != (h, w):
        x = F.pad(x, (0, 0, 0, wp - w, 0, hp - h))
    if grid.shift != (0, 0):
        x = x.roll((-grid.shift[0], -grid.shift[1]), dims=(1, 2))
    return _exchange(x.unflatten(2, (-1, grid.window[1])).unflatten(1, (-1, grid.window[0])))


def merge(windows: Tensor, grid: WindowGrid) -> Tensor:
    """Put windows together again: undoes `partition`.

    Args:
        windows: (B, M, N, C).
        grid: How the picture was cut.

    Returns:
        Picture (B, C, H, W) in channels-last memory.
    """
    x = _exchange(windows.unflatten(2, grid.window).unflatten(1, (grid.padded[0] // grid.window[0], -1)))
    if grid.shift != (0, 0):
        x = x.roll(grid.shift, dims=(1, 2))
    return crop(x.permute(0, 3, 1, 2), grid.size, any_size=grid.any_size)


def _exchange(x: Tensor) -> Tensor:
    """(b, i, j, k, l, c) -> (b, i k, j l, c)."""
    # contiguous first: merging axes of a transposed tensor asks questions that an exporter cannot answer
    return x.transpose(2, 3).contiguous().flatten(3, 4).flatten(1, 2)


def regions(grid: WindowGrid, device: torch.device, mask_padding: bool = True) -> Tensor | None:
    """Label the tokens: two tokens of a window may see each other only where their labels are equal.

    A shift wraps two sides of the picture into one window; their labels differ.

    Args:
        grid: How the picture is cut.
        device: Where the labels are needed.
        mask_padding: Whether padding has a label of its own, default true.

    Returns:
        Labels (M, N), or None if all tokens of each window may see each other.
    """
    if grid.is_whole:
        return None
    rows, columns = (
        _axis_labels(*axis, device, mask_padding)
        for axis in zip(grid.size, grid.padded, grid.shift, strict=True)
    )
    labels = rows[:, None] * 4 + columns
    return rearrange(labels, "(mh h) (mw w) -> (mh mw) (h w)", h=grid.window[0], w=grid.window[1])


def _axis_labels(length: int, padded: int, shift: int, device: torch.device, mask_padding: bool) -> Tensor:
    source = torch.arange(padded, device=device) + shift
    wrapped = source >= padded
    is_padding = torch.where(wrapped, source - padded, source) >= length
    return wrapped.int() + 2 * (is_padding & mask_padding).int()


def attention_mask(
    grid: WindowGrid, x: Tensor, mask_padding: bool = True, *, keep: bool = True
) -> Tensor | None:
    """Hide the tokens that must not see each other.

    Args:
        grid: How the picture is cut.
        x: A tensor on the device where the mask is needed.
        mask_padding: Whether padding is hidden from the picture, default true.
        keep: Whether to keep the mask for later calls with the same arguments, since a net asks for the same
            few again and again; a large mask is not kept, because its attention costs far more.  False while
            a compiler records, whose tensors must not outlive it.

    Returns:
        (M, 1, N, N) of float32, 0 where two tokens may see each other and -inf where not; None if all may.
    """
    if not keep or type(x) is not Tensor or _mask_numbers(grid) > KEPT_NUMBERS:
        return _attention_mask(grid, x.device, mask_padding)
    return _kept_attention_mask(grid, x.device, mask_padding)


def _attention_mask(grid: WindowGrid, device: torch.device, mask_padding: bool) -> Tensor | None:
    labels = regions(grid, device, mask_padding)
    if labels is None:
        return None
    apart = labels[:, None, :, None] != labels[:, None, None, :]
    return torch.zeros_like(apart, dtype=torch.float32).masked_fill_(apart, -torch.inf)


def _mask_numbers(grid: WindowGrid) -> int:
    return math.prod(grid.padded) * math.prod(grid.window)


@lru_cache(maxsize=8)
def _kept_attention_mask(grid: WindowGrid, device: torch.device, mask_padding: bool) -> Tensor | None:
    with torch.inference_mode(False):  # or a later training forward could not save it
        return _attention_mask(grid, device, mask_padding)
