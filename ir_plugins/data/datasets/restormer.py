"""The datasets that Restormer's published option files name, with their published keys.

`geometric_augs` draws one of the eight turns and mirrorings of the square.  Differences from the published
code, on purpose: pictures come in the order of their names, in LMDBs too; a window may lie at the last
offset; the noise of a test picture leaves the global random numbers alone; an 8-bit picture among dual
pixels, which came out 257 times too dark, is an error.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ...pictures.colour import Colour
from .base import PictureDataset, shared_keys
from .degraded import drawn
from .noise import NoiseDataset
from .paired import DualPixelDataset, PairedDataset


def _published(keys: Mapping[str, Key]) -> dict[str, Key]:
    ours = ("use_hflip", "use_rot", "color", "bits")
    return {k: v for k, v in keys.items() if k not in ours} | shared_keys("geometric_augs")


class _Published(PictureDataset):
    """The base of these three datasets."""

    def augmentation(self) -> tuple[int, bool]:
        if not self.opt.get("geometric_augs"):
            return 0, False
        mode = random.randrange(8)
        return mode % 4, mode >= 4


@DATASET_REGISTRY.register()
class Dataset_PairedImage(_Published, PairedDataset):
    """Restormer's pairs of pictures in two folders or LMDBs: deraining, deblurring, defocus, real noise.

    PairedDataset with `geometric_augs`.
    """

    option_keys = _published(PairedDataset.option_keys)


@DATASET_REGISTRY.register()
class Dataset_GaussianDenoising(_Published, NoiseDataset):
    """Restormer's Gaussian noise: lq is gt with white noise added, neither clipped nor rounded.

    `dataroot_lq` is `none`; `in_ch` is 3 for colour, the default, or 1 for gray.  Noise levels are standard
    deviations on the scale of 0 to 255.  Training needs `sigma_type` and `sigma_range`: constant and a
    number; random and two numbers to draw between; choice and a list to draw from.  Validation and test need
    `sigma_test`; the noise is NumPy's of seed 0 for every picture.
    """

    option_keys = _published(NoiseDataset.option_keys) | {
        **shared_keys("dataroot_lq", "filename_tmpl"),  # without effect, but published files have them
        "in_ch": Key(Literal[1, 3], "3: colour, the default; 1: gray"),
        "sigma_type": Key(Any, "constant, random or choice: how training draws the noise level"),
        "sigma_range": Key(Any, "noise level from 0 to 255, or several"),
        "sigma_test": Key(float, "noise level in validation and test, from 0 to 255", least=0),
    }

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        own = {key: value for key, value in opt.items() if key != "dataroot_lq"}
        yield from super().option_problems(own)
        if opt.get("dataroot_lq") not in (None, "none"):
            text = "must be none: the noise is made here; for pairs of pictures take Dataset_PairedImage"
            yield "dataroot_lq", text
        if opt.get("phase") != "train":
            if opt.get("sigma_test") is None:
                yield "sigma_test", "is missing; expected a number from 0, such as 25"
            return
        kind, level = opt.get("sigma_type"), opt.get("sigma_range")
        levels = level if isinstance(level, list) else []
        if kind not in ("constant", "random", "choice"):
            yield "sigma_type", f"is {kind!r}; expected constant, random or choice"
        elif kind == "constant" and not _is_level(level):
            yield "sigma_range", f"is {level!r}; sigma_type constant takes a number from 0, such as 25"
        elif kind == "random" and not (
            len(levels) == 2 and all(map(_is_level, levels)) and levels[0] <= levels[1]
        ):
            yield "sigma_range", f"is {level!r}; sigma_type random takes the least and the greatest: [0, 50]"
        elif kind == "choice" and not (levels and all(map(_is_level, levels))):
            yield "sigma_range", f"is {level!r}; sigma_type choice takes a list of numbers: [15, 25, 50]"

    @classmethod
    def colour_of(cls, opt: Mapping[str, Any]) -> Colour:
        return "gray" if opt.get("in_ch", 3) == 1 else "rgb"

    def level(self) -> tuple[float, int | None]:
        if not self.training:
            return self.opt["sigma_test"], 0
        levels = self.opt["sigma_range"]
        return random.choice(levels) if self.opt["sigma_type"] == "choice" else drawn(levels), None


@DATASET_REGISTRY.register()
class Dataset_DefocusDeblur_DualPixel_16bit(_Published, DualPixelDataset):
    """Restormer's dual-pixel defocus: a left and a right view of 16 bits, and the sharp picture (DPDD).

    DualPixelDataset with `geometric_augs`.
    """

    option_keys = _published(DualPixelDataset.option_keys)


def _is_level(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
