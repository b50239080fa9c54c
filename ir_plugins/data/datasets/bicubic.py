"""LQ by MATLAB's bicubic interpolation."""

from collections.abc import Mapping

import numpy as np

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ...pictures.colour import in_colour
from ...pictures.window import Window
from ..resize import imresize
from .base import COLOUR
from .degraded import DegradedDataset


@DATASET_REGISTRY.register()
class BicubicDataset(DegradedDataset):
    """Pictures and their small copies, made as `scripts/prepare_sr.py` makes them: MATLAB's bicubic, `scale`
    times smaller, 8 bits.

    GT is cut at the right and the bottom to a multiple of `scale`.
    """

    needs_scale_1 = False
    option_keys: Mapping[str, Key] = {**DegradedDataset.option_keys, "color": COLOUR}

    def patches(self, pictures: dict[str, np.ndarray], window: Window) -> list[np.ndarray]:
        gt = pictures["gt"]
        h, w = (length // self.scale * self.scale for length in gt.shape[:2])
        lq = imresize(gt[:h, :w], 1 / self.scale, window, prepared=_in_colour)
        return [self.coloured(lq), self.coloured(window.times(self.scale).cut(gt))]


def _in_colour(pixels: np.ndarray) -> np.ndarray:
    """Colour pixels: a picture is resized in colour, and becomes gray or luma afterwards."""
    return in_colour(pixels, "rgb")
