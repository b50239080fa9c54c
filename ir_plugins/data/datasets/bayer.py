"""Bayer mosaics."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ..mosaic import demosaiced, mosaic
from .degraded import DegradedDataset


@DATASET_REGISTRY.register()
class BayerDataset(DegradedDataset):
    """Pictures seen through a Bayer mosaic.

    LQ is the classical estimate of the colours (Malvar, He and Cutler 2004), of three channels and 8 bits,
    or, with `initial: none`, the mosaic itself, of one channel.  pattern: the colours of the upper left 2 x 2
    pixels, row by row.  A training patch is turned first, so that it always begins with the pattern's first
    colour, and its edges are treated like a picture's.
    """

    option_keys: Mapping[str, Key] = {
        **DegradedDataset.option_keys,
        "pattern": Key(Literal["rggb", "bggr", "grbg", "gbrg"], "colours of 2 x 2 pixels; default rggb"),
        "initial": Key(Literal["malvar", "none"], "malvar: LQ is the estimated colours, the default"),
    }

    @classmethod
    def channels(cls, opt: Mapping[str, Any]) -> int:
        """The channels of lq."""
        return 1 if opt.get("initial") == "none" else 3

    def finished(self, lq: Tensor, gt: Tensor) -> Tensor:
        pixels = (gt * 255).round().byte().permute(1, 2, 0).numpy()  # (H, W, 3), RGB
        pattern = self.opt.get("pattern") or "rggb"
        raw = mosaic(pixels, pattern)
        made = raw[..., None] if self.opt.get("initial") == "none" else demosaiced(raw, pattern)
        return torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1))).float() / 255
