"""Where pictures are cut: the published grids, DPDD's sharpness filter, the centre; or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ...pictures.window import Window


@dataclass(frozen=True)
class Grid:
    """Overlapping squares of `size`, every `step` and at the far edges, row by row; sizes in pixels.

    A picture is taken whole where a side is shorter than `size`, on which the published scripts break, or not
    longer than `only_above`.  drop: this share of a picture's crops, the least sharp ones, is left out.
    """

    size: int
    step: int
    only_above: int = 0
    drop: float = 0.0

    def windows(self, height: int, width: int) -> list[Window]:
        """Every window of a picture, in the published order."""
        if self.is_whole(height, width):
            return [Window(0, 0, height, width)]
        rows, columns = (
            [*range(0, side - self.size, self.step), side - self.size] for side in (height, width)
        )
        return [Window(top, left, self.size, self.size) for top in rows for left in columns]

    def is_whole(self, height: int, width: int) -> bool:
        return min(height, width) < self.size or min(height, width) <= self.only_above

    def sizes(self, stem: str, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Name and size of every crop that is kept."""
        windows = self.windows(height, width)
        kept = windows[int(self.drop * len(windows)) :]  # which ones these are, their pixels tell
        return {f"{stem}-{number}.png": window[2:] for number, window in enumerate(kept, 1)}

    def cut(self, pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Crops of pictures (H, W[, C]) of one size, the last of them the sharp one: picture by picture."""
        windows = self.windows(*pictures[0].shape[:2])
        if removed := int(self.drop * len(windows)):
            order = np.argsort(sharpness([window.cut(pictures[-1]) for window in windows]), kind="stable")
            windows = [windows[index] for index in sorted(order[removed:])]
        return (window.cut(picture) for picture in pictures for window in windows)


@dataclass(frozen=True)
class Centre:
    """The square in the middle; a picture with a shorter side is taken whole."""

    size: int

    def windows(self, height: int, width: int) -> list[Window]:
        if self.is_whole(height, width):
            return [Window(0, 0, height, width)]
        return [Window((height - self.size) // 2, (width - self.size) // 2, self.size, self.size)]

    def is_whole(self, height: int, width: int) -> bool:
        return min(height, width) < self.size

    def sizes(self, stem: str, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Name and size of the crop."""
        return {f"{stem}.png": self.windows(height, width)[0][2:]}

    def cut(self, pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
        """The crop of each picture (H, W[, C]); they have one size."""
        window = self.windows(*pictures[0].shape[:2])[0]
        return (window.cut(picture) for picture in pictures)


def sharpness(crops: list[np.ndarray]) -> np.ndarray:
    """How sharp each crop (H, W, 3) of a picture is beside the others, 0 to 1, as DPDD's authors measure it.

    The gradient's magnitude, summed over the crop, is stretched to 0..1 over all crops; four sizes of the
    Sobel operator are multiplied.
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
