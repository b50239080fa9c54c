"""Distances of a classifier's features, by their authors' packages: `pip install lpips DISTS_pytorch`."""

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.arguments import check_side
from ..runtime.errors import UserError
from ..runtime.randomness import kept_random_state
from ..weights.archives import BadArchive, check
from ..weights.fetching import cached
from ..weights.files import read_weights
from .pictures import Picture, Planes, planes
from .registering import metric

ALEXNET_SIDE = 31  # its poolings leave one pixel of it


@metric(better="lower", rehearse=lambda **arguments: (_package("lpips"), cached("alexnet")))
def lpips(img: Picture, img2: Picture, *, data_range: float = 255.0) -> float:
    """LPIPS 0.1 of AlexNet's features, by the authors' package `lpips` (Zhang et al. 2018).

    The network is built once per process and works on the CPU; AlexNet's weights come from torch.hub's cache,
    or are fetched into it.

    Args:
        img: The result, (H, W, 3) BGR, or (H, W), taken as three equal channels; in 0..L, and clamped to it.
        img2: GT, of the same shape.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.

    Raises:
        UserError: Shapes differ, a side is below 31 pixels, or the package or its weights are missing.
    """
    x, y = planes(img, img2, data_range=data_range)
    check_side(*x.shape[:2], ALEXNET_SIDE, "leave lpips out for such pictures")
    with torch.inference_mode():
        return float(_lpips()(_rgb(x, data_range), _rgb(y, data_range), normalize=True))


@metric(better="lower", rehearse=lambda **arguments: (_package("DISTS_pytorch"), cached("vgg16")))
def dists(img: Picture, img2: Picture, *, data_range: float = 255.0) -> float:
    """DISTS, structure and texture of VGG16's features, by the authors' package (Ding et al. 2020).

    Pictures are measured in the size that they have; the authors shrink theirs to a shorter side of 256
    first.  The network is built once per process and works on the CPU; VGG16's weights come from torch.hub's
    cache, or are fetched into it.

    Args:
        img: The result, (H, W, 3) BGR, or (H, W), taken as three equal channels; in 0..L, and clamped to it.
        img2: GT, of the same shape.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.

    Raises:
        UserError: Shapes differ, or the package or its weights are missing.
    """
    x, y = planes(img, img2, data_range=data_range)
    with torch.inference_mode():
        return float(_dists()(_rgb(x, data_range), _rgb(y, data_range)))


@cache
def _lpips() -> nn.Module:
    return _built("lpips", "alexnet", lambda package: package.LPIPS(net="alex", verbose=False))


@cache
def _dists() -> nn.Module:
    return _built("DISTS_pytorch", "vgg16", _build_dists)


def _build_dists(package: Any) -> nn.Module:
    # the package itself looks below sys.prefix, where its weights are not in every kind of installation
    net = package.DISTS(load_weights=False)
    weights = Path(package.__file__).with_name("weights.pt")
    net.load_state_dict(read_weights(weights, None), strict=False)
    return net


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"package {name} cannot be imported ({error}); pip install {name}") from error


def _built(name: str, classifier: str, build: Callable[[Any], nn.Module]) -> nn.Module:
    package = _package(name)
    for file in _weight_files(package, classifier):
        try:
            check(file)  # the package would take a damaged one, and measure with it
        except (BadArchive, OSError) as error:
            raise UserError(f"{file}: {error}") from error
    try:
        # initial weights draw random numbers, and both packages use a deprecated argument of torchvision
        with kept_random_state(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build(package).cpu().eval().requires_grad_(False)
    except (OSError, RuntimeError, HTTPException) as error:  # no network, no room, other content, cut off
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"its weights cannot be had: {reason}; connect once, or copy torchvision's file into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}"
        ) from error


def _weight_files(package: ModuleType, classifier: str) -> list[Path]:
    """The files that a package reads its network from, as far as they are there."""
    fetched = Path(torch.hub.get_dir(), "checkpoints").glob(f"{classifier}-*.pth")
    return [*fetched, *Path(str(package.__file__)).parent.glob(f"weights/*/{classifier[:4]}*.pth")]


def _rgb(x: Planes, data_range: float) -> Tensor:
    """(h, w, C), C being 3 or 1 -> (1, 3, h, w) in 0..1, R first."""
    if x.shape[2] not in (1, 3):
        raise UserError(f"sees RGB or gray, not {x.shape[2]} channels")
    channels_first = np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1) / data_range, dtype=np.float32)
    return torch.from_numpy(channels_first).expand(3, -1, -1)[None].contiguous()
