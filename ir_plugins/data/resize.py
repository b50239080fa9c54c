"""MATLAB's bicubic resize, with which every super-resolution benchmark is made.

H height, W width, C channels, N output rows, T taps (input rows that make one output row)
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..pictures.window import Window

# float64 values per block of output rows: two such blocks stay in the L2 cache while the taps pass over them
_BLOCK = 1 << 15


def imresize(
    image: np.ndarray,
    scale: float,
    window: Window | None = None,
    *,
    prepared: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray,
) -> np.ndarray:
    """Resize as MATLAB's `imresize(image, scale, 'bicubic')`: antialiased when it shrinks, mirrored borders.

    Integers are rounded (half up) and saturated after the rows and again after the columns, as MATLAB does; a
    single rounding at the end differs from it by one grey level in many pixels.  Floats are never rounded or
    clipped.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16 or floating point, any range.
        scale: > 0; the result is (ceil(H * scale), ceil(W * scale)) and keeps the dtype.
        window: The part of the result to compute; only the pixels it is made from are read.  Default: all.
        prepared: A function that converts those pixels first.

    Raises:
        ValueError: image or scale is something else.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image has the shape {image.shape}; (H, W) or (H, W, C) without zeros is needed")
    if not (image.dtype in (np.uint8, np.uint16) or np.issubdtype(image.dtype, np.floating)):
        raise ValueError(f"image is {image.dtype}; convert it to uint8, uint16 or a float type")
    if not scale > 0 or not math.isfinite(scale):
        raise ValueError(f"{scale=} must be a number above 0")
    h, w = (math.ceil(length * scale) for length in image.shape[:2])
    top, left, height, width = window or (0, 0, h, w)
    rows, upper, lower = _taps(image.shape[0], scale, top, top + height)
    columns, first, last = _taps(image.shape[1], scale, left, left + width)
    seen = prepared(image[upper:lower, first:last])
    rows_done = _resize_rows(seen, *rows)  # (height, last - first, C)
    return np.ascontiguousarray(_resize_rows(rows_done.swapaxes(0, 1), *columns).swapaxes(0, 1))


def _resize_rows(image: np.ndarray, weights: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Mix rows.  (H, ...), (N, T), (N, T) -> (N, ...)"""
    flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)  # (H, W * C)
    out = np.empty((len(weights), flat.shape[1]), image.dtype)
    step = max(1, _BLOCK // flat.shape[1])
    total = np.empty((step, flat.shape[1]))
    term = np.empty_like(total)
    for top in range(0, len(out), step):
        rows = slice(top, min(top + step, len(out)))
        n = rows.stop - rows.start
        total[:n] = 0
        # tap after tap in float64, not as a matrix product: at scales such as 1/6 the order of a sum decides
        # which way an exact half is rounded, and every machine shall make the same pixels
        for weight, index in zip(weights[rows].T, indices[rows].T, strict=True):
            np.multiply(flat[index], weight[:, None], out=term[:n])
            total[:n] += term[:n]
        if np.issubdtype(image.dtype, np.integer):
            np.floor(np.add(total[:n], 0.5, out=total[:n]), out=total[:n])
            np.clip(total[:n], 0, np.iinfo(image.dtype).max, out=total[:n])
        out[rows] = total[:n]
    return out.reshape(len(out), *image.shape[1:])


def _taps(length: int, scale: float, start: int, stop: int) -> tuple[tuple[np.ndarray, np.ndarray], int, int]:
    """The weights and input samples of the output samples from `start` to `stop`.

    Returns:
        The weights of each and the input samples they belong to, both (N, T), counted from the first sample
        used; that sample; the one after the last.
    """
    weights, indices = _all_taps(length, scale)
    weights, indices = weights[start:stop], indices[start:stop]
    first = int(indices.min())
    return (weights, indices - first), first, int(indices.max()) + 1


@lru_cache(64)  # pictures of one size come again and again
def _all_taps(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The weights of every output sample and the input samples they belong to: (N, T) float64, (N, T) int."""
    # shrinking stretches the kernel over 1 / scale as many samples: that is the antialiasing
    stretch = min(scale, 1.0)
    width = 4 / stretch
    # output sample k lies at `centre` among the input samples when both grids cover the same picture
    k = np.arange(1, math.ceil(length * scale) + 1)
    centre = k / scale + 0.5 * (1 - 1 / scale)  # (N,), counted from 1
    first = np.floor(centre - width / 2)
    sample = first[:, None] + np.arange(math.ceil(width) + 2)  # (N, T)
    weights = stretch * _cubic(stretch * (centre[:, None] - sample))
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)
    # beyond the border the picture is mirrored, edge sample included, as often as a tiny picture needs it
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    indices = mirrored[(sample.astype(np.int64) - 1) % (2 * length)]
    return weights[:, used], indices[:, used]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
