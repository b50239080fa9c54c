"""From the pixels of a file to those a network is given: colour, gray or luma, of 8 bits or 16."""

from typing import Literal

import numpy as np

from .raw import converted

Colour = Literal["rgb", "gray", "y"]


def in_colour(pixels: np.ndarray, colour: Colour, bits: int = 8) -> np.ndarray:
    """(h, w, c) of a file -> (h, w, 3), BGR, or (h, w, 1), of that many bits.

    rgb: alpha is dropped and gray tripled.  gray: as libpng and so OpenCV makes a colour PNG gray.  y: luma
    of ITU-R BT.601 in studio range (16 to 235), as MATLAB's rgb2ycbcr, rounded.  Of 16 bits the upper 8 are
    taken, as OpenCV does, unless `bits` is 16.
    """
    if bits == 16:
        return pixels
    if colour == "gray":
        return converted(pixels, "grayscale")[..., None]
    pixels = converted(pixels, "color")
    return luma(pixels) if colour == "y" else pixels


def luma(pixels: np.ndarray) -> np.ndarray:
    """Colour (h, w, 3), uint8, BGR -> luma (h, w, 1), uint8, from 16 to 235."""
    blue_green_red = np.array([24.966, 128.553, 65.481])
    return np.round(pixels @ (blue_green_red / 255) + 16).astype(np.uint8)[..., None]
