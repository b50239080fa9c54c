"""The base of datasets that make LQ from GT while they read."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...options.signatures import fits
from ...pictures.window import Window
from .base import PictureDataset


class DegradedDataset(PictureDataset):
    """Pictures in one folder or LMDB, dataroot_gt; LQ is made from them.

    In validation and test, LQ is always the same, as if a file held it.
    """

    needs_scale_1 = True

    @staticmethod
    def roots(opt: Mapping[str, Any]) -> dict[str, str]:
        return {"gt": opt["dataroot_gt"]}

    def size(self, pictures: dict[str, np.ndarray]) -> tuple[int, int]:
        h, w = pictures["gt"].shape[:2]
        if min(h, w) < self.scale:
            raise ValueError(f"{h}x{w} is smaller than scale {self.scale}; remove it")
        return h // self.scale, w // self.scale

    def patches(self, pictures: dict[str, np.ndarray], window: Window) -> list[np.ndarray]:
        return [self.coloured(window.cut(pictures["gt"]))]


def level_problems(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """The key and a text for each mistake in a level.

    Args:
        key: Key of the level.
        value: A number, or the least and the greatest to draw between.
    """
    if value is None:
        yield key, f"is missing; write a number, or the least and the greatest: {key}: [5, 50]"
    elif isinstance(value, list) and (
        len(value) != 2 or not all(fits(n, float) for n in value) or value[0] > value[1]
    ):
        yield key, f"is {value!r}; expected one number, or the least and the greatest: [5, 50]"


def drawn(level: Any, *, whole: bool = False) -> Any:
    """A level, drawn if it is a range.

    Args:
        level: A number, or the least and the greatest.
        whole: Draw a whole number.
    """
    if not isinstance(level, list):
        return level
    return random.randint(*level) if whole else random.uniform(*level)
