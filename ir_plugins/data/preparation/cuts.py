"""Cut pictures: in a grid, perhaps without the least sharp crops (DPDD), or in the centre."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ...pictures.window import Window


def grid(height: int, width: int, *, size: int, step: int, spare: int = 0) -> list[Window]:
    """Overlapping squares that cover a picture, row by row.

    Args:
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
        size: The side of a square, in pixels; a shorter side of the picture stays uncut.
        step: From one square to the next, in pixels.
        spare: How many pixels at the right and the bottom may stay uncovered; if more would, a last square
            ends at the edge.  BasicSR calls it thresh_size.
    """

    def starts(length: int) -> list[int]:
        last = max(0, length - size)
        regular = list(range(0, last + 1, step))
        return [*regular, last] if last - regular[-1] > spare else regular

    sides = min(size, height), min(size, width)
    return [Window(top, left, *sides) for top in starts(height) for left in starts(width)]


@dataclass(frozen=True)
class Grid:
    """Restormer's published crops, STEM-1.png, STEM-2.png, ...; a picture with a shorter side stays whole.

    Args:
        size: The side of a crop, in pixels.
        step: From one crop to the next, in pixels.
        only_above: Pictures with a side of up to so many pixels stay whole.
        drop: This share of a picture's crops, the least sharp ones, is left out.
    """

    size: int
    step: int
    only_above: int = 0
    drop: float = 0.0

    def windows(self, height: int, width: int) -> list[Window]:
        """Every window of a picture, in the published order."""
        if self.is_whole(height, width):  # on such pictures the published scripts fail
            return [Window(0, 0, height, width)]
        return grid(height, width, size=self.size, step=self.step)

    def is_whole(self, height: int, width: int) -> bool:
        """Whether a picture of this size stays whole."""
        return min(height, width) < self.size or min(height, width) <= self.only_above

    def sizes(self, stem: str, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Name and size of every crop that is kept."""
        windows = self.windows(height, width)
        kept = windows[int(self.drop * len(windows)) :]  # their pixels decide which ones these are
        return {f"{stem}-{number}.png": window[2:] for number, window in enumerate(kept, 1)}

    def cut(self, pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
        """All crops of the first picture, then all of the next, ...

        Args:
            pictures: (H, W) or (H, W, C), all of one size; the last one is the sharp one.
        """
        windows = self.windows(*pictures[0].shape[:2])
        if removed := int(self.drop * len(windows)):
            order = np.argsort(sharpness([window.cut(pictures[-1]) for window in windows]), kind="stable")
            windows = [windows[index] for index in sorted(order[removed:])]
        return (window.cut(picture) for picture in pictures for window in windows)


@dataclass(frozen=True)
class Centre:
    """The square in the middle, STEM.png; a picture with a shorter side stays whole.

    Args:
        size: The side of the square, in pixels.
    """

    size: int

    def windows(self, height: int, width: int) -> list[Window]:
        """The one window of a picture."""
        if self.is_whole(height, width):
            return [Window(0, 0, height, width)]
        return [Window((height - self.size) // 2, (width - self.size) // 2, self.size, self.size)]

    def is_whole(self, height: int, width: int) -> bool:
        """Whether a picture of this size stays whole."""
        return min(height, width) < self.size

    def sizes(self, stem: str, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Name and size of the crop."""
        return {f"{stem}.png": self.windows(height, width)[0][2:]}

    def cut(self, pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
        """The crop of each picture, (H, W) or (H, W, C); all have one size."""
        window = self.windows(*pictures[0].shape[:2])[0]
        return (window.cut(picture) for picture in pictures)


def sharpness(crops: list[np.ndarray]) -> np.ndarray:
    """How sharp each crop of a picture is compared with the others, 0 to 1, as DPDD's authors measure it.

    The gradient's magnitude, summed over the crop, is stretched to 0..1 over all crops; four sizes of the
    Sobel operator are multiplied.

    Args:
        crops: Each (H, W, 3), BGR.
    """
    product = np.ones(len(crops))
    grays = [cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) for crop in crops]
    for kernel in (3, 7, 11, 15):
        sums = np.array([_gradient(gray, kernel) for gray in grays])
        span = sums.max() - sums.min()
        product *= (sums - sums.min()) / (span or 1)
    return product


def _gradient(gray: np.ndarray, kernel: int) -> float:
    across = cv2.Sobel(gray, cv2.CV_64F, 1, 0, ksize=kernel)
    down = cv2.Sobel(gray, cv2.CV_64F, 0, 1, ksize=kernel)
    return float(np.sqrt(across * across + down * down).sum())
