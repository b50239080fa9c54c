"""White Gaussian noise."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from .base import COLOUR
from .degraded import DegradedDataset, drawn, level_problems


class NoiseDataset(DegradedDataset):
    """Pictures with white Gaussian noise; a subclass defines its level."""

    def level(self) -> tuple[float, int | None]:
        """The sigma of an item, and the seed of NumPy's noise; None: torch makes the noise."""
        raise NotImplementedError

    def finished(self, lq: Tensor, gt: Tensor) -> Tensor:
        sigma, seed = self.level()
        noise = torch.randn_like(lq) if seed is None else _noise_of_numpy(lq, seed)
        return lq + noise * (sigma / 255)


@DATASET_REGISTRY.register()
class GaussianNoiseDataset(NoiseDataset):
    """Pictures with white Gaussian noise, neither clipped nor rounded unless `rounded` is true.

    `sigma` is the noise's standard deviation on the scale of 0 to 255, or the least and the greatest, between
    which each item draws its own.  Training noise is always new.  A test picture's noise follows from its
    name or, with `seed`, is NumPy's of that seed for every picture, as Restormer's test scripts make it
    (seed: 0).
    """

    option_keys: Mapping[str, Key] = {
        **DegradedDataset.option_keys,
        "color": COLOUR,
        "sigma": Key(
            float | Sequence[float], "noise level from 0 to 255, or least and greatest", least=0, below=256
        ),
        "seed": Key(int, "seed of a test picture's noise; default: the picture's name", least=0),
        "rounded": Key(bool, "clip and round LQ to 8 bits, as a saved picture is; default false"),
    }

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().option_problems(opt)
        yield from level_problems("sigma", opt.get("sigma"))

    def level(self) -> tuple[float, int | None]:
        return drawn(self.opt["sigma"]), None if self.training else self.opt.get("seed")

    def finished(self, lq: Tensor, gt: Tensor) -> Tensor:
        lq = super().finished(lq, gt)
        return (lq * 255).round().clamp(0, 255) / 255 if self.opt.get("rounded") else lq


def _noise_of_numpy(like: Tensor, seed: int) -> Tensor:
    """White noise (C, H, W) of level 1, drawn pixel by pixel, colours together."""
    channels, h, w = like.shape
    noise = np.random.RandomState(seed).normal(size=(h, w, channels))
    return torch.from_numpy(noise.astype(np.float32).transpose(2, 0, 1).copy())
