"""The base of all datasets here: pair pictures, read them, cut a training patch, turn it.

H x W picture, h x w window of it, C channels, s scale
"""

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...options.basicsr_keys import LOADER, PICTURES
from ...options.problems import Key
from ...pictures.colour import Colour, in_colour
from ...pictures.store import Store
from ...pictures.window import Window, augmented, padded, to_tensor
from ...runtime.errors import UserError
from ...runtime.randomness import seeded
from ..pairing import Pairing, pair

COLOUR = Key(Literal["rgb", "gray", "y"], "colour that pictures are read in; y: luma; default rgb")


def shared_keys(*names: str) -> dict[str, Key]:
    """Some of the keys that datasets share with BasicSR's, with their types and texts.

    Args:
        names: Names of the keys.
    """
    return {name: (LOADER | PICTURES)[name] for name in names}


class PictureDataset(Dataset):
    """Pictures in folders or LMDBs; a subclass defines their kinds, and how they become an item.

    An item has lq (C, H, W) and gt (C, sH, sW), RGB or gray, in [0, 1]; lq_path, gt_path; and name, GT's path
    below its root without the ending.  In training, lq and gt are one random window of gt_size, filled up by
    reflection if the picture is smaller, and turned and mirrored alike.  In validation and test everything
    random about an item follows from its name.

    Args:
        opt: The dataset's block, with `phase` filled in; `scale` is 1 if it is missing.

    Raises:
        UserError: An option cannot work, or pictures do not pair; the message begins with the key.
    """

    # the keys of its block beside the loader's, and the required ones
    option_keys: Mapping[str, Key] = shared_keys(
        "io_backend", "dataroot_gt", "meta_info_file", "gt_size", "use_hflip", "use_rot"
    )
    needed: tuple[str, ...] = ("io_backend", "dataroot_gt")
    needs_scale_1 = False
    needs_its_bits = True  # whether `bits: 16` refuses files of other bits or channels
    takes_a_file = False  # whether a dataroot may be one picture

    def __init__(self, opt: dict[str, Any]):
        for key, text in self.option_problems(opt):
            raise UserError(f"{key}: {text}")
        self.opt = opt
        self.scale: int = opt.get("scale") or 1
        self.colour: Colour = self.colour_of(opt)
        self.bits = self.bits_of(opt)
        self.pairings = self.pairings_of(opt)
        # if the root holds folders, a test reports each of them
        self.groups = [pairing.name.split("/")[0] if "/" in pairing.name else "" for pairing in self.pairings]
        deep = "unchanged" if self.needs_its_bits else "deep"
        flag = deep if self.bits == 16 else "any" if self.colour == "y" else "color"
        backend = opt["io_backend"]["type"]
        self._stores = {kind: Store(root, backend, flag) for kind, root in self.roots(opt).items()}

    # -- defined by subclasses

    @staticmethod
    def roots(opt: Mapping[str, Any]) -> dict[str, str]:
        """The folder or LMDB of each kind of picture, GT last."""
        raise NotImplementedError

    def patches(self, pictures: dict[str, np.ndarray], window: Window) -> list[np.ndarray]:
        """The window of LQ (or of each view), (h, w, C), and, last, of GT, (sh, sw, C), in self.colour.

        Only GT's if `finished` makes LQ from it.

        Args:
            pictures: Pictures of each kind, (H, W, C), as stored.
            window: In the pixels of LQ.
        """
        raise NotImplementedError

    def size(self, pictures: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of LQ.

        Args:
            pictures: Pictures of each kind, (H, W, C), as stored.

        Raises:
            ValueError: The pictures' sizes do not fit.
        """
        raise NotImplementedError

    def finished(self, lq: Tensor, gt: Tensor) -> Tensor:
        """Make the final lq.

        Args:
            lq: (C, h, w); it may be gt itself.
            gt: (C, sh, sw).
        """
        return lq

    @classmethod
    def colour_of(cls, opt: Mapping[str, Any]) -> Colour:
        """The colour that pictures are read in, for an option block."""
        return (opt.get("color") or "rgb") if "color" in cls.option_keys else "rgb"

    @classmethod
    def bits_of(cls, opt: Mapping[str, Any]) -> int:
        """How many bits of a channel are read: 8, from any file, or 16, from files that have them."""
        return 8

    # -- for `basicsr check` and the check of the data

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The key and a text for each mistake in an option block, for `options.dataset_blocks`."""
        for key, value in opt.items():
            if key.startswith("dataroot") and value == "none":
                yield key, "is none, which only dataroot_lq of Dataset_GaussianDenoising may be"
        for key, kind in cls.option_keys.items():
            if key in opt and (fault := kind.fault(opt[key])):
                yield key, fault
        template = opt.get("filename_tmpl", "{}")
        if not isinstance(template, str) or template.count("{}") != 1:
            yield "filename_tmpl", f"is {template!r}; expected LQ's name with {{}} for GT's, such as '{{}}x4'"
        if cls.needs_scale_1 and opt.get("scale", 1) not in (None, 1):
            text = f"is {cls.__name__}, which knows scale 1 only, but scale is {opt['scale']}"
            yield "type", text

    @classmethod
    def channels(cls, opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return 3 if cls.colour_of(opt) == "rgb" else 1

    @classmethod
    def pairings_of(cls, opt: Mapping[str, Any]) -> list[Pairing]:
        """The pictures that belong together, in the order of their names.  Raises UserError."""
        return pair(
            cls.roots(opt),
            backend=opt["io_backend"]["type"],
            template=opt.get("filename_tmpl", "{}"),
            listing=opt.get("meta_info_file"),
        )

    # -- items

    def __len__(self) -> int:
        return len(self.pairings)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pairing = self.pairings[index]
        pictures = {kind: self._read(kind, file) for kind, file in pairing.files.items()}
        with self._random_numbers(pairing):
            *lqs, gt = (to_tensor(patch) for patch in self._ready(self._patches(pairing, pictures)))
            lq = self.finished(torch.cat(lqs) if lqs else gt, gt)
        paths = {f"{kind}_path": self._stores[kind].path(file) for kind, file in pairing.files.items()}
        lq_path = paths[next(iter(paths))]  # the left view's if there are two, GT's if there is no LQ
        return {"lq": lq, "gt": gt, "lq_path": lq_path, **paths, "name": pairing.name}

    @property
    def training(self) -> bool:
        return self.opt["phase"] == "train"

    def coloured(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, c) as stored -> (h, w, C) in self.colour."""
        return in_colour(pixels, self.colour, self.bits)

    def _read(self, kind: str, file: str) -> np.ndarray:
        store = self._stores[kind]
        pixels = store.read(file, verified=not self.training)  # in training only the patch is read
        if self.bits == 16 and self.needs_its_bits and (pixels.dtype != np.uint16 or pixels.shape[2] != 3):
            found = f"{pixels.shape[2]} channels of {8 * pixels.itemsize} bits"
            raise UserError(f"{store.where(file)} has {found}; {type(self).__name__} needs 3 of 16 bits")
        return pixels

    def _random_numbers(self, pairing: Pairing) -> AbstractContextManager:
        if self.training:
            return nullcontext()  # the loader seeds them for each item
        digest = hashlib.blake2b(os.fsencode(pairing.name), digest_size=8).digest()
        return seeded(int.from_bytes(digest, "little"))

    def _patches(self, pairing: Pairing, pictures: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            h, w = self.size(pictures)
        except ValueError as error:
            raise UserError(f"{self._stores['gt'].where(pairing.files['gt'])}: {error}") from None
        side = self.opt["gt_size"] // self.scale if self.training else max(h, w)
        top, left = (random.randint(0, max(0, length - side)) for length in (h, w))
        return self.patches(pictures, Window(top, left, min(side, h), min(side, w)))

    def _ready(self, patches: list[np.ndarray]) -> list[np.ndarray]:
        """In training, the patches padded and turned; otherwise the pictures as they are."""
        if not self.training:
            return patches
        *lqs, gt = patches
        side = self.opt["gt_size"]
        patches = [*(padded(lq, side // self.scale) for lq in lqs), padded(gt, side)]
        quarters, mirrored = self.augmentation()
        return [augmented(patch, quarters, mirrored=mirrored) for patch in patches]

    def augmentation(self) -> tuple[int, bool]:
        """How a training patch is turned: quarters, and whether it is mirrored; as in BasicSR."""
        mirror, rotate = bool(self.opt.get("use_hflip")), bool(self.opt.get("use_rot"))
        mirrored = mirror and random.random() < 0.5
        upside_down = rotate and random.random() < 0.5
        transposed = rotate and random.random() < 0.5
        # upside down is half a turn and a mirror; transposed is three quarters and a mirror, or, after a
        # mirror, one quarter and no mirror
        mirrored ^= upside_down
        quarters = 2 * upside_down + transposed * (1 if mirrored else 3)
        return quarters, mirrored ^ transposed
