"""Pairs on the disk: low quality and ground truth, or two views of dual pixels and ground truth."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ...pictures.window import Window
from .base import COLOUR, PictureDataset, shared_keys


@DATASET_REGISTRY.register()
class PairedDataset(PictureDataset):
    """Pairs of pictures in two folders or LMDBs: deraining, deblurring, real noise, dehazing, prepared LR.

    They pair by name, endings aside, in subfolders too; `meta_info_file` may list GT's names, or LQ's and
    GT's paths.  `bits: 16` reads 16-bit files as such, and refuses others.
    """

    needed = ("io_backend", "dataroot_lq", "dataroot_gt")
    option_keys: Mapping[str, Key] = {
        **PictureDataset.option_keys,
        **shared_keys("dataroot_lq", "filename_tmpl"),
        "color": COLOUR,
        "bits": Key(Literal[8, 16], "of a channel: 16 needs files that have so many; default 8"),
    }

    @staticmethod
    def roots(opt: Mapping[str, Any]) -> dict[str, str]:
        return {"lq": opt["dataroot_lq"], "gt": opt["dataroot_gt"]}

    @classmethod
    def bits_of(cls, opt: Mapping[str, Any]) -> int:
        return opt.get("bits") or 8 if "bits" in cls.option_keys else 8

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().option_problems(opt)
        if cls.bits_of(opt) == 16 and cls.colour_of(opt) != "rgb":
            yield "color", f"is {opt['color']}, but 16 bits are read in rgb only; leave one of them out"

    def size(self, pictures: dict[str, np.ndarray]) -> tuple[int, int]:
        views = [picture.shape[:2] for kind, picture in pictures.items() if kind != "gt"]
        h, w = pictures["gt"].shape[:2]
        spare = 0 if self.training else self.scale - 1  # cut off GT in validation, as in BasicSR
        fit = {(h // self.scale, w // self.scale)} == set(views)
        if not fit or max(h % self.scale, w % self.scale) > spare:
            sizes = " and ".join(f"{size[0]}x{size[1]}" for size in views)
            raise ValueError(f"GT of {h}x{w} and LQ of {sizes} are no pair of scale {self.scale}")
        return views[0]

    def patches(self, pictures: dict[str, np.ndarray], window: Window) -> list[np.ndarray]:
        lqs = [window.cut(picture) for kind, picture in pictures.items() if kind != "gt"]
        return [self.coloured(patch) for patch in (*lqs, window.times(self.scale).cut(pictures["gt"]))]


@DATASET_REGISTRY.register()
class DualPixelDataset(PairedDataset):
    """A left and a right view of dual pixels and the sharp picture, all of 16 bits (DPDD).

    lq is (6, H, W): the left view's RGB, then the right view's.  lq_path is the left view's path; items have
    lqL_path and lqR_path too.
    """

    needed = ("io_backend", "dataroot_lqL", "dataroot_lqR", "dataroot_gt")
    option_keys: Mapping[str, Key] = {
        **PictureDataset.option_keys,
        **shared_keys("dataroot_lqL", "dataroot_lqR", "filename_tmpl"),
    }

    @staticmethod
    def roots(opt: Mapping[str, Any]) -> dict[str, str]:
        return {"lqL": opt["dataroot_lqL"], "lqR": opt["dataroot_lqR"], "gt": opt["dataroot_gt"]}

    @classmethod
    def bits_of(cls, opt: Mapping[str, Any]) -> int:
        return 16

    @classmethod
    def channels(cls, opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return 6
