"""Position of one pixel relative to another inside a window.

h x w window, N = h w tokens, n heads
"""

import math

import torch
from torch import Tensor


def log_offsets(window: tuple[int, int], window_size: int) -> Tensor:
    """Every offset between two pixels of a window, on the log scale of Swin V2 (eq. 4).

    Args:
        window: h and w in pixels.
        window_size: The side of a whole window, against which offsets are measured, so that a picture smaller
            than a window keeps the distances it was trained with.

    Returns:
        (2h-1, 2w-1, 2), in [-log8(9), log8(9)].
    """
    axes = [torch.arange(1 - length, length) * (8 / max(1, window_size - 1)) for length in window]
    offset = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return offset.sign() * offset.abs().add(1).log2() / math.log2(8)


def spread_offsets(table: Tensor) -> Tensor:
    """Look up the value of each pair of tokens in a table of offsets.

    Query (a, b) and key (c, d) read row a - c + h - 1 and column b - d + w - 1.

    Args:
        table: A value per offset and head, (2h-1, 2w-1, n).

    Returns:
        (n, N, N), query first.
    """
    h, w = (table.shape[0] + 1) // 2, (table.shape[1] + 1) // 2
    pairs = table.unfold(0, h, 1).unfold(1, w, 1)  # a view (h, w, n, h, w): query, then h-1-c and w-1-d
    return pairs.flip(3, 4).permute(2, 0, 1, 3, 4).reshape(-1, h * w, h * w)


def relative_index(window_size: int) -> Tensor:
    """The row of each pair of tokens of a square window in a table of offsets.

    The table lists the (2 window_size - 1)² offsets query - key, rows first, from the most negative on.

    Args:
        window_size: Side of the window, in pixels.

    Returns:
        (N, N) of int64, query first.
    """
    axis = torch.arange(window_size)
    offset = axis[:, None] - axis + window_size - 1  # (w, w)
    index = offset[:, None, :, None] * (2 * window_size - 1) + offset[None, :, None, :]
    return index.reshape(window_size**2, window_size**2)
