"""The datasets that Restormer's option files name: pairs, Gaussian noise made while reading, dual pixels.

Their published keys are all there is: `geometric_augs` stands for one of the eight turns and mirrorings of
the square; a picture smaller than `gt_size` is filled up by reflection.  On purpose other than published:
pictures come in the order of their names; a window may lie at the last offset too; the noise of a test
picture is drawn from the picture's place in that order, and leaves the global random numbers alone; an 8-bit
picture among dual pixels, which used to come out 257 times too dark, is an error.

H x W picture, C channels, s scale
"""

import random
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from basicsr.data.data_util import (
    paired_paths_from_folder,
    paired_paths_from_lmdb,
    paired_paths_from_meta_info_file,
)
from basicsr.data.transforms import paired_random_crop
from basicsr.utils import FileClient, imfrombytes, img2tensor
from basicsr.utils.registry import DATASET_REGISTRY

from ..errors import UserError


class _Pictures(Dataset):
    """What the three share: where pictures lie, how they are read, how a training patch is cut.

    opt: the dataset's block with `phase` filled in; `scale` is 1 where it is missing.  roots: the folder or
    LMDB of each kind of picture, GT last.  Raises UserError, beginning with the key, on options that cannot
    work.
    """

    fills_up = True  # a picture smaller than gt_size is no fault
    bits = 8  # per channel of a file

    def __init__(self, opt: dict[str, Any], roots: dict[str, str]):
        for key, text in self.option_problems(opt):
            raise UserError(f"{key}: {text}")
        self.opt = opt
        self.scale = opt.get("scale") or 1
        self.backend = dict(opt["io_backend"])
        if self.backend["type"] == "lmdb":
            self.backend |= {"db_paths": list(roots.values()), "client_keys": list(roots)}
        self.client: FileClient | None = None  # each worker opens its own
        self.paths = self._found(roots)

    @staticmethod
    def option_problems(opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Key and text of what is wrong with a block, for `schema.check`."""
        for key, value in opt.items():
            if key.startswith("dataroot") and value == "none":
                yield key, "is none, which only dataroot_lq of Dataset_GaussianDenoising may be"
        if not isinstance(opt.get("geometric_augs", False), bool):
            yield "geometric_augs", f"is {opt['geometric_augs']!r}; expected true or false"

    def _found(self, roots: dict[str, str]) -> list[dict[str, str]]:
        """Of every picture "KIND_path" of each kind, in the order of GT's names, listed as BasicSR does."""
        columns = []
        for kind in [kind for kind in roots if kind != "gt"] or ["gt"]:  # alone, GT pairs with itself
            both = [roots[kind], roots["gt"]], [kind, "gt"]
            template = self.opt.get("filename_tmpl", "{}") if kind != "gt" else "{}"
            if self.backend["type"] == "lmdb":
                pairs = paired_paths_from_lmdb(*both)
            elif self.opt.get("meta_info_file") is not None:
                pairs = paired_paths_from_meta_info_file(*both, self.opt["meta_info_file"], template)
            else:
                pairs = paired_paths_from_folder(*both, template)
            columns.append(sorted(pairs, key=itemgetter("gt_path")))
        return [
            {kind: path for pair in row for kind, path in pair.items()} for row in zip(*columns, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, kind: str, index: int, flag: str = "color") -> np.ndarray:
        """A picture (H, W, C), float32 in [0, 1]; three channels are BGR."""
        pixels: Any = imfrombytes(self._content(kind, index), flag, float32=True)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _content(self, kind: str, index: int) -> bytes:
        if self.client is None:
            options = {key: value for key, value in self.backend.items() if key != "type"}
            self.client = FileClient(self.backend["type"], **options)
        return self.client.get(self.paths[index][f"{kind}_path"], kind)

    def _tensors(self, lqs: list[np.ndarray], gt: np.ndarray, path: str) -> list[Tensor]:
        """LQs (H, W, C) and GT (sH, sW, C), BGR -> the same as (C, H, W), RGB, GT last.

        In training one random window of all of them, turned or mirrored alike; else GT is cut to s times LQ.
        """
        if self.opt["phase"] == "train":
            side, scale = self.opt["gt_size"], self.scale
            lqs, gt = [_filled_up(lq, side // scale) for lq in lqs], _filled_up(gt, side)
            cropped, lqs = paired_random_crop([gt], lqs, side, scale, path)
            pictures: list[Any] = [*(lqs if isinstance(lqs, list) else [lqs]), cropped]
            if self.opt.get("geometric_augs"):
                mode = random.randrange(8)
                pictures = [_turned(picture, mode) for picture in pictures]
        else:
            h, w = lqs[0].shape[:2]
            pictures = [*lqs, gt[: h * self.scale, : w * self.scale]]
        return list(img2tensor([np.ascontiguousarray(picture) for picture in pictures]))


@DATASET_REGISTRY.register()
class Dataset_PairedImage(_Pictures):
    """Restormer's pairs of pictures in two folders or LMDBs: deraining, deblurring, defocus, real noise.

    Option keys: dataroot_gt, dataroot_lq, io_backend, filename_tmpl, meta_info_file; for training gt_size and
    geometric_augs.

    An item: lq (3, H, W) and gt (3, sH, sW), RGB in [0, 1]; lq_path and gt_path.
    """

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt, {"lq": opt["dataroot_lq"], "gt": opt["dataroot_gt"]})

    @staticmethod
    def channels(opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        paths = self.paths[index]
        lq, gt = self._tensors([self._read("lq", index)], self._read("gt", index), paths["gt_path"])
        return {"lq": lq, "gt": gt, **paths}


@DATASET_REGISTRY.register()
class Dataset_GaussianDenoising(_Pictures):
    """Restormer's Gaussian noise: lq is gt with white noise added, neither clipped nor rounded.

    Option keys: dataroot_gt, io_backend, meta_info_file; dataroot_lq is `none`; in_ch: 3 for colour, the
    default, or 1 for gray.  Noise levels are standard deviations on the scale of 0 to 255.  Training takes
    gt_size, geometric_augs, sigma_type and sigma_range: constant and a number; random and two of them to draw
    between; choice and a list to draw from.  The noise is new at every draw.  Validation and test take
    sigma_test; a picture's noise is the same every time.

    An item: lq and gt (in_ch, H, W), RGB, gt in [0, 1]; lq_path and gt_path are those of gt.
    """

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt, {"gt": opt["dataroot_gt"]})

    @staticmethod
    def option_problems(opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from _Pictures.option_problems({k: v for k, v in opt.items() if k != "dataroot_lq"})
        if opt.get("dataroot_lq") not in (None, "none"):
            text = "must be none: the noise is made here; for pairs of pictures take Dataset_PairedImage"
            yield "dataroot_lq", text
        if opt.get("in_ch", 3) not in (1, 3):
            yield "in_ch", f"is {opt['in_ch']!r}; expected 3 (colour) or 1 (gray)"
        if opt.get("scale", 1) not in (None, 1):
            yield (
                "type",
                f"is Dataset_GaussianDenoising, which knows scale 1 only, but scale is {opt['scale']}",
            )
        if opt.get("phase") != "train":
            if not _is_level(opt.get("sigma_test")):
                yield "sigma_test", f"is {opt.get('sigma_test')!r}; expected a number from 0, such as 25"
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

    @staticmethod
    def channels(opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return opt.get("in_ch", 3)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]["gt_path"]
        picture = self._read("gt", index, "grayscale" if self.opt.get("in_ch", 3) == 1 else "color")
        _, gt = self._tensors([picture], picture, path)
        if self.opt["phase"] == "train":
            noise = torch.randn_like(gt) * (self._level() / 255)
        else:
            generator = torch.Generator().manual_seed(index)
            noise = torch.randn(gt.shape, generator=generator) * (self.opt["sigma_test"] / 255)
        return {"lq": gt + noise, "gt": gt, "lq_path": path, "gt_path": path}

    def _level(self) -> float:
        levels = self.opt["sigma_range"]
        if self.opt["sigma_type"] == "constant":
            return levels
        return random.uniform(*levels) if self.opt["sigma_type"] == "random" else random.choice(levels)


@DATASET_REGISTRY.register()
class Dataset_DefocusDeblur_DualPixel_16bit(_Pictures):
    """Restormer's dual-pixel defocus: a left and a right view of 16 bits, and the sharp picture (DPDD).

    Option keys: dataroot_lqL, dataroot_lqR, dataroot_gt, io_backend, filename_tmpl, meta_info_file; for
    training gt_size and geometric_augs.  An LMDB of `basicsr lmdb` keeps the 16 bits.

    An item: lq (6, H, W), the left view's RGB and then the right one's, gt (3, sH, sW), both in [0, 1];
    lq_path, which is the left view's, lqL_path, lqR_path and gt_path.
    """

    bits = 16

    def __init__(self, opt: dict[str, Any]):
        super().__init__(
            opt, {"lqL": opt["dataroot_lqL"], "lqR": opt["dataroot_lqR"], "gt": opt["dataroot_gt"]}
        )

    @staticmethod
    def channels(opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        paths = self.paths[index]
        views = [self._read("lqL", index), self._read("lqR", index)]
        left, right, gt = self._tensors(views, self._read("gt", index), paths["gt_path"])
        return {"lq": torch.cat([left, right]), "gt": gt, "lq_path": paths["lqL_path"], **paths}

    def _read(self, kind: str, index: int, flag: str = "unchanged") -> np.ndarray:
        content = self._content(kind, index)
        pixels: Any = imfrombytes(content, flag)
        if pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
            channels = pixels.shape[2] if pixels.ndim == 3 else 1
            raise UserError(
                f"{getattr(content, 'source', self.paths[index][f'{kind}_path'])} has {channels} channels of "
                f"{8 * pixels.itemsize} bits; {type(self).__name__} needs 3 of 16 bits"
            )
        return pixels.astype(np.float32) / 65535


def _filled_up(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, C) of at least `side` by `side`: what is missing at the bottom and right is
    reflected.
    """
    h, w = picture.shape[:2]
    return np.pad(picture, ((0, max(0, side - h)), (0, max(0, side - w)), (0, 0)), mode="symmetric")


def _turned(picture: np.ndarray, mode: int) -> np.ndarray:
    """A picture (H, W, C) turned by mode % 4 quarters, from mode 4 on mirrored too; mode: 0 to 7."""
    picture = np.rot90(picture, mode % 4)
    return picture[:, ::-1] if mode >= 4 else picture


def _is_level(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
