"""`make bench`, data: pairs for training from a PNG LMDB as BasicSR reads it, and from our raw one.

Runs alternate and medians are compared, since machines are shared and noisy.  One process, one thread, as in
a loader's worker.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image
from tqdm import tqdm

from ir_plugins.data import PairedDataset
from ir_plugins.data.resize import imresize
from ir_plugins.pictures.lmdb import CODECS, write_lmdb
from ir_plugins.pictures.writing import write_picture

from basicsr.data.paired_image_dataset import PairedImageDataset

RUNS, SECONDS = 7, 2.0
SIDE, STEP, SCALE, PATCH = 480, 240, 2, 128


def main() -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        count = write_pictures()
        sizes = {codec: write_databases(codec) for codec in CODECS}
        theirs, mine = PairedImageDataset(options("png")), PairedDataset(options("raw"))
        if not all(same(drawn(theirs, seed, count), drawn(mine, seed, count)) for seed in range(4 * count)):
            print("the two read different pairs: no figures")
            return 1
        rates = {"BasicSR's PairedImageDataset, PNG LMDB": [], "ours, raw LMDB": []}
        for run in tqdm(range(RUNS), desc="reading pairs", disable=None):
            for name, dataset in zip(rates, (theirs, mine), strict=True):
                rates[name].append(rate(dataset, run, count))
    print(f"{PATCH}x{PATCH} pairs x{SCALE} from {count} photographs of {SIDE}x{SIDE}, flips on, one process,")
    print(f"medians of {RUNS} alternating runs:")
    for name, found in rates.items():
        print(f"{name:40} {statistics.median(found):6.0f} pairs/s")
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    png, pixels = sizes.values()
    print(f"{ratio:.1f}x as fast, for {pixels / png:.2f}x the disk ({png / 1e6:.1f} MB PNG, ", end="")
    print(f"{pixels / 1e6:.1f} MB raw)")
    return 0


def write_pictures() -> int:
    """Cut scikit-image's larger photographs as `prepare_sr.py` does; return how many pairs that makes."""
    for name in ("gt", "lq"):
        Path(name).mkdir()
    count = 0
    for file in sorted((Path(skimage.__file__).parent / "data").glob("*.[jp][pn]g")):
        with Image.open(file) as image:
            if image.mode != "RGB" or min(image.size) < SIDE:
                continue
            picture = np.asarray(image)[..., ::-1]  # (H, W, 3), BGR
        for top in range(0, picture.shape[0] - SIDE + 1, STEP):
            for left in range(0, picture.shape[1] - SIDE + 1, STEP):
                gt = picture[top : top + SIDE, left : left + SIDE]
                write_picture(f"gt/{count:04}.png", gt)
                write_picture(f"lq/{count:04}.png", imresize(gt, 1 / SCALE))
                count += 1
    return count


def write_databases(codec: str) -> int:
    """Pack both folders; return the bytes that takes."""
    return sum(write_lmdb(side, f"{side}_{codec}.lmdb", codec).size for side in ("gt", "lq"))


def options(codec: str) -> dict[str, Any]:
    """The block of a training set; it is a new one each time, since BasicSR's datasets change theirs."""
    roots = {f"dataroot_{side}": f"{side}_{codec}.lmdb" for side in ("gt", "lq")}
    augmentation = {"gt_size": PATCH, "use_hflip": True, "use_rot": True}
    return {**roots, **augmentation, "io_backend": {"type": "lmdb"}, "phase": "train", "scale": SCALE}


def drawn(dataset: Any, seed: int, count: int) -> dict[str, Any]:
    """The pair that these random numbers make."""
    random.seed(seed)
    return dataset[seed % count]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two pairs are equal to the bit."""
    paths = all(one[key] == other[key] for key in ("gt_path", "lq_path"))
    return paths and all(torch.equal(one[key], other[key]) for key in ("gt", "lq"))


def rate(dataset: Any, seed: int, count: int) -> float:
    """Pairs per second, in a random order."""
    order = np.random.default_rng(seed).integers(0, count, 1 << 20)
    begin, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < SECONDS:
        dataset[int(order[done % len(order)])]
        done += 1
    return done / passed


if __name__ == "__main__":
    sys.exit(main())
