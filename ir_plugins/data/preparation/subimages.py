"""Cut high-resolution images and their MATLAB-bicubic low-resolution copies into crops."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..resize import imresize
from .jobs import Job, Output, decoded


class Crop(NamedTuple):
    """A part of an HR image in pixels; for every scale each number is a multiple of it."""

    name: str
    top: int
    left: int
    height: int
    width: int


def lay_out(stem: str, height: int, width: int, *, crop_size: int, step: int, thresh_size: int) -> list[Crop]:
    """The crops of an image as BasicSR's extract_subimages places and numbers them; sizes in pixels.

    A grid of `step`, and a last crop flush with the edge where more than `thresh_size` pixels are left over.
    Other than in BasicSR a side shorter than `crop_size` is taken whole.
    """

    def starts(length: int) -> list[int]:
        last = max(0, length - crop_size)
        grid = list(range(0, last + 1, step))
        return [*grid, last] if last - grid[-1] > thresh_size else grid

    corners = [(top, left) for top in starts(height) for left in starts(width)]
    return [
        Crop(f"{stem}_s{number:03d}.png", top, left, min(crop_size, height), min(crop_size, width))
        for number, (top, left) in enumerate(corners, 1)
    ]


def cutting(
    stem: str, path: Path, height: int, width: int, crops: list[Crop], folders: dict[int, Path]
) -> Job:
    """What becomes of an image: its crops, as 8-bit colour, in every folder.

    height, width: the size in pixels it is trimmed to.  folders: by scale, 1 for HR.
    """

    def make(contents: list[bytes]) -> Iterator[np.ndarray]:
        image = decoded(contents[0], height, width)[:height, :width]  # (H, W, 3)
        return pieces(image)

    def pieces(image: np.ndarray) -> Iterator[np.ndarray]:
        for scale in folders:
            # the image is made small before it is cut: a crop's edge is no edge of the picture
            pixels = image if scale == 1 else imresize(image, 1 / scale)
            for crop in crops:
                top, left, h, w = (number // scale for number in crop[1:])
                yield pixels[top : top + h, left : left + w]

    outputs = [
        Output(folder / crop.name, crop.height // scale, crop.width // scale)
        for scale, folder in folders.items()
        for crop in crops
    ]
    return Job(stem, (path,), outputs, make)
