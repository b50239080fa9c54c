"""Convert the pixels of a file for a network: colour, gray or luma, of 8 bits or 16."""

from typing import Literal

import numpy as np

from .raw import converted

Colour = Literal["rgb", "gray", "y"]


def in_colour(pixels: np.ndarray, colour: Colour, bits: int = 8) -> np.ndarray:
    """Pixels as (h, w, 3), BGR, or (h, w, 1).

    Args:
        pixels: (h, w, c) as a file has them.
        colour: rgb: alpha is dropped and gray tripled; gray: as libpng, and so OpenCV, makes a colour PNG
            gray; y: luma of ITU-R BT.601 in studio range (16 to 235), as MATLAB's rgb2ycbcr, rounded; gray
            files stay as they are.
        bits: 8: the upper 8 bits of 16, as OpenCV takes them; 16: 8 bits are spread over 16, rgb only.
    """
    if bits == 16:
        return in_16_bits(pixels)
    if colour == "y" and pixels.shape[2] <= 2:
        return converted(pixels, "grayscale")[..., None]
    # first 8 bits in colour, as OpenCV decodes files: gray made from 16 bits differs
    pixels = converted(pixels, "color")
    if colour == "gray":
        return converted(pixels, "grayscale")[..., None]
    return luma(pixels) if colour == "y" else pixels


def in_16_bits(pixels: np.ndarray) -> np.ndarray:
    """Pixels as (h, w, 3), uint16; those that are so already stay as they are.

    Args:
        pixels: (h, w, c) as a file has them, uint8 or uint16.
    """
    count = pixels.shape[2]
    if count != 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=2) if count <= 2 else pixels[..., :3]
    return pixels if pixels.itemsize == 2 else pixels.astype(np.uint16) * 257  # 255 becomes 65535


def luma(pixels: np.ndarray) -> np.ndarray:
    """Luma (h, w, 1), uint8, from 16 to 235.

    Args:
        pixels: (h, w, 3), uint8, BGR.
    """
    blue, green, red = np.moveaxis(pixels.astype(np.int32), 2, 0)
    thousands = 24966 * blue + 128553 * green + 65481 * red  # in whole numbers, where a half is a half
    return (16 + (thousands + 127500) // 255000).astype(np.uint8)[..., None]
