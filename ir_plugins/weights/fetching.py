"""Weights that losses and metrics take from torch.hub's cache, or fetch into it."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from ..runtime.errors import UserError

SECONDS = 30.0  # without an answer from the network


class Absent(Exception):
    """A file of weights is neither there nor fetched.

    Args:
        url: Where it comes from.
        path: Where it belongs.
        way_out: What a user without a network can do.
    """

    def __init__(self, url: str, path: str | Path, way_out: str = "put that file there"):
        self.url, self.path, self.way_out = url, Path(path), way_out
        super().__init__(f"{self.path} is not there; get {url} and {way_out}")


def address(model: str) -> str:
    """Where torchvision's weights of a classifier come from.

    Args:
        model: The classifier as torchvision calls it, such as vgg19.
    """
    from torchvision.models import get_model_weights  # costs a second

    return get_model_weights(model)["IMAGENET1K_V1"].url


def cached(model: str, way_out: str = "put that file there") -> Path:
    """The file of torchvision's weights of a classifier in torch.hub's cache.

    Args:
        model: The classifier as torchvision calls it, such as vgg19.
        way_out: What a user without a network can do.

    Raises:
        Absent: It is not there.
    """
    url = address(model)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.is_file():
        raise Absent(url, path, way_out)
    return path


def fetch(absent: Absent) -> Path:
    """Download a file of weights.

    Args:
        absent: The file.

    Returns:
        Its path.

    Raises:
        UserError: There is no network, no room, or something else at that address.
    """
    path, patience = absent.path, socket.getdefaulttimeout()
    # torchvision's names end in the first digits of the content's SHA-256, others' in any word
    digits = re.search("-([0-9a-f]{8,64})$", path.stem)
    socket.setdefaulttimeout(SECONDS)  # torch would wait forever
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(absent.url, str(path), hash_prefix=digits and digits[1])
    except (OSError, RuntimeError, HTTPException) as error:  # URLError is an OSError
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: no such file, and {absent.url} cannot be fetched: {reason}; {absent.way_out}"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
    return path


@contextmanager
def offline() -> Iterator[None]:
    """Inside, whatever would fetch a file by torch.hub's or BasicSR's functions raises Absent instead."""

    def refuse(url: str, dst: str, *arguments: Any, **options: Any) -> None:
        raise Absent(url, dst)

    usual = torch.hub.download_url_to_file
    before = {place: place.download_url_to_file for place in _fetching()}
    for place in before:
        place.download_url_to_file = refuse
    try:
        yield
    finally:
        for place in _fetching():
            place.download_url_to_file = before.get(place, usual)


def _fetching() -> Iterator[Any]:
    """The modules that download; BasicSR's, which is slow to import, if somebody has imported it."""
    yield torch.hub
    if (basicsr := sys.modules.get("basicsr.utils.download_util")) is not None:
        yield basicsr
