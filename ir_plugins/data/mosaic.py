"""The Bayer mosaic of a camera's sensor, and the classical estimate of the colours behind it.

H x W picture
"""

import cv2
import numpy as np

# the colour (0 red, 1 green, 2 blue) of the upper left 2 x 2 pixels, row by row
PATTERNS = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "grbg": (1, 0, 2, 1), "gbrg": (1, 2, 0, 1)}

# Malvar, He and Cutler, High-quality linear interpolation for demosaicing, ICASSP 2004, figure 2; eighths
GREEN_AT_OTHERS = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
)
# red at green between reds in its row (blue likewise); transposed, in its column
IN_THE_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
)
# red at blue and blue at red
ACROSS = np.array(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
)


def mosaic(picture: np.ndarray, pattern: str = "rggb") -> np.ndarray:
    """The mosaic that a sensor records of a picture: (H, W), one colour of each pixel.

    Args:
        picture: (H, W, 3), RGB.
        pattern: A key of PATTERNS.
    """
    h, w, _ = picture.shape
    return np.take_along_axis(picture, _colours(h, w, pattern)[..., None], 2)[..., 0]


def demosaiced(raw: np.ndarray, pattern: str = "rggb") -> np.ndarray:
    """An estimate of the colours behind a mosaic: (H, W, 3), RGB, uint8.

    It interpolates linearly, corrects by the gradient of the known colour (Malvar et al. 2004), and rounds;
    MATLAB's `demosaic` interpolates the same way.  Outside its edges the mosaic is mirrored at the outermost
    pixel, which keeps the pattern.

    Args:
        raw: (H, W), uint8.
        pattern: A key of PATTERNS.
    """
    h, w = raw.shape
    padded = np.pad(raw.astype(np.float64), 2, mode="reflect")
    green, row, column, across = (
        cv2.filter2D(padded, -1, kernel / 8)[2:-2, 2:-2]
        for kernel in (GREEN_AT_OTHERS, IN_THE_ROW, IN_THE_ROW.T, ACROSS)
    )
    colour = _colours(h, w, pattern)
    # the one of red and blue that stands in the row of each pixel: at a green one, its neighbour's
    in_row = np.where(colour == 1, _colours(h, w + 1, pattern)[:, 1:], colour)
    found = np.empty((h, w, 3))
    found[..., 1] = np.where(colour == 1, raw, green)
    for wanted in (0, 2):
        at_green = np.where(in_row == wanted, row, column)
        found[..., wanted] = np.select([colour == wanted, colour == 1], [raw, at_green], across)
    return np.clip(np.floor(found + 0.5), 0, 255).astype(np.uint8)


def _colours(h: int, w: int, pattern: str) -> np.ndarray:
    """The colour of each pixel, (H, W)."""
    four = np.reshape(PATTERNS[pattern], (2, 2))
    return np.tile(four, (h // 2 + 1, w // 2 + 1))[:h, :w]
