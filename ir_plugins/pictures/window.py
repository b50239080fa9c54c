"""Cut windows out of pictures, pad them, turn them, and make tensors of them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Window(NamedTuple):
    """A part of a picture; all numbers in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """This part of a picture (H, W, C): (height, width, C), a view."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def times(self, scale: int) -> "Window":
        """The same part of a picture that is `scale` times as large."""
        return Window(*(number * scale for number in self))

    def around(self, height: int, width: int, *, grid: int, margin: int) -> "Window":
        """This window and what surrounds it inside a picture.

        Args:
            height: Height of the picture, in pixels.
            width: Width of the picture, in pixels.
            grid: Every side of the window starts at a multiple of it, or at the picture's edge.
            margin: At least so many pixels on each side.
        """
        top, left = (max(0, n - margin) // grid * grid for n in (self.top, self.left))
        bottom = min(height, -(-(self.top + self.height + margin) // grid) * grid)
        right = min(width, -(-(self.left + self.width + margin) // grid) * grid)
        return Window(top, left, bottom - top, right - left)

    def inside(self, other: "Window") -> "Window":
        """This window in the coordinates of what `other` cuts out."""
        return self._replace(top=self.top - other.top, left=self.left - other.left)


def padded(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture, filled up by reflection at the bottom and the right.

    Args:
        picture: (H, W, C).
        side: The least height and width, in pixels.
    """
    h, w = picture.shape[:2]
    if h >= side and w >= side:
        return picture
    return np.pad(picture, ((0, max(0, side - h)), (0, max(0, side - w)), (0, 0)), mode="symmetric")


def augmented(picture: np.ndarray, quarters: int, *, mirrored: bool) -> np.ndarray:
    """A turned and then mirrored view of a picture.

    Args:
        picture: (H, W, C).
        quarters: Quarters of a turn, anticlockwise.
        mirrored: Left to right, after the turn.
    """
    picture = np.rot90(picture, quarters) if quarters % 4 else picture
    return picture[:, ::-1] if mirrored else picture


def to_tensor(picture: np.ndarray) -> Tensor:
    """The picture as (C, H, W), float32 in [0, 1], RGB or gray.

    Args:
        picture: (H, W, C), uint8 or uint16, BGR or gray.
    """
    # a copy even of one channel, whose stride would be negative
    planes = picture[..., ::-1].transpose(2, 0, 1).copy()
    if planes.dtype == np.uint8:
        return torch.from_numpy(planes).float().div_(255)
    return torch.from_numpy(planes.astype(np.float32)).div_(65535)
