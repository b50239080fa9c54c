"""Folders of random pictures, the same as LMDBs, and datasets opened as a run opens them: after a check."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ir_plugins.data.checks import check_dataset
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.runtime.errors import UserError

SIZES = [(11, 13), (7, 17), (19, 5)]
NAMES = ["b.png", "a.png", "c.png"]
STORAGES = ["disk", "png", "raw"]  # the last two in LMDBs


def random_pixels(height, width, channels=3, dtype=np.uint8, seed=0):
    """White noise over the whole range."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(file, pixels):
    """A picture, whatever its name: OpenCV does not know an ending in capitals, nor every folder."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(file.suffix.lower(), pixels)[1].tobytes())
    return pixels


def as_tensor(pixels):
    """(H, W, C), BGR or gray -> (C, H, W) in [0, 1], RGB or gray."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    scaled = pixels[..., ::-1].astype(np.float32) / np.iinfo(pixels.dtype).max
    return torch.from_numpy(scaled.transpose(2, 0, 1).copy())


def write(folder, dtype=np.uint8, sizes=SIZES, seed=0):
    """Random colour pictures; returned in the order of their names, RGB, as (3, H, W) in [0, 1]."""
    pictures = {}
    for number, (name, size) in enumerate(zip(NAMES, sizes, strict=True)):
        pictures[name] = as_tensor(
            save(folder / name, random_pixels(*size, dtype=dtype, seed=100 * seed + number))
        )
    return [pictures[name] for name in sorted(NAMES)]


def packed(options, codec="png"):
    """The options with every folder as an LMDB beside it."""
    roots = {key: value for key, value in options.items() if key.startswith("dataroot") and value != "none"}
    for root in roots.values():
        database = Path(f"{root}.{codec}.lmdb")
        if not database.exists():
            write_lmdb(root, database, codec)
    roots = {key: f"{root}.{codec}.lmdb" for key, root in roots.items()}
    return options | roots | {"io_backend": {"type": "lmdb"}}


def stored(options, storage):
    """The options for one of STORAGES."""
    return options if storage == "disk" else packed(options, storage)


def block(kind, phase="val", **options):
    """A dataset's block, filled up as a run does; kind: its class."""
    training = {"gt_size": 4, "use_hflip": False, "use_rot": False} if phase == "train" else {}
    common = {"type": kind.__name__, "phase": phase, "scale": 1, "io_backend": {"type": "disk"}}
    return common | training | options


def opened(kind, phase="val", *, count=3, **options):
    """A dataset whose block passes `check_dataset` first, as in a run."""
    options = block(kind, phase, **options)
    assert check_dataset("datasets:x", options) == count
    return kind(options)


def refused(kind, phase="val", **options):
    """The one line that `check_dataset` says about a block."""
    with pytest.raises(UserError) as error:
        check_dataset("datasets:x", block(kind, phase, **options))
    message = str(error.value)
    assert "\n" not in message and message.startswith("datasets:x")
    return message


def windows(picture, height, width=None):
    """Every window (C, height, width) of a picture, with its offset."""
    width = width or height
    _, h, w = picture.shape
    for top in range(h - height + 1):
        for left in range(w - width + 1):
            yield (top, left), picture[:, top : top + height, left : left + width]


def digest(item):
    """What is to be the same of two items: pixels and name."""
    tensors = b"".join(item[key].numpy().tobytes() for key in ("lq", "gt"))
    return hashlib.sha256(tensors + json.dumps([item["name"], list(item["lq"].shape)]).encode()).hexdigest()
