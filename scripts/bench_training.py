"""`make bench`, training: our loop against BasicSR's, and our progressive loader against the published one.

Runs alternate and medians are compared, since machines are shared and noisy.
"""

import contextlib
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from torch.utils.data import DataLoader
from tqdm import tqdm

from ir_plugins.cli import main as basicsr
from ir_plugins.data import Dataset_PairedImage
from ir_plugins.data.patch_plan import OneStage
from ir_plugins.pictures.writing import write_picture
from ir_plugins.training.order import Drawn, TrainOrder

from basicsr.models.base_model import BaseModel
from basicsr.train import train_pipeline

RUNS, ITERATIONS, WARM_UP = 5, 40, 5
SWINIR = {"type": "SwinIR", "upscale": 2, "img_size": 24, "window_size": 8, "embed_dim": 60}
SWINIR |= {
    "depths": [6, 6, 6, 6],
    "num_heads": [6, 6, 6, 6],
    "mlp_ratio": 2,
    "upsampler": "pixelshuffledirect",
}
PATCHES, BATCHES = (128, 160, 192, 256, 320, 384), (8, 5, 4, 2, 1, 1)  # Restormer's stages
ITERS = (92000, 64000, 48000, 36000, 36000, 24000)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_pictures()
        print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}, medians of {RUNS} alternating runs\n")
        loop_rows()
        loader_rows()
    return 0


def loop_rows() -> None:
    """Iterations per second of whole training runs, the first few left out."""
    rates: dict[str, list[float]] = {"BasicSR's train_pipeline, SRModel": [], "ours, RestorationModel": []}
    for run in tqdm(range(RUNS), desc="training loops", disable=None):
        for name, ours in zip(rates, (False, True), strict=True):
            rates[name].append(in_a_process(rate_of_training, ours, run))
    theirs, mine = map(statistics.median, rates.values())
    print(
        f"SwinIR-small x2, batch 2 of 48x48, iterations per second: {theirs:.3f} BasicSR, {mine:.3f} ours, ",
        end="",
    )
    print(f"{statistics.median(b / a for a, b in zip(*rates.values(), strict=True)):.3f}x")


def loader_rows() -> None:
    """Milliseconds of loading per iteration, by stage and over Restormer's 300,000 iterations."""
    options = {"dataroot_gt": "gt", "dataroot_lq": "gt", "io_backend": {"type": "disk"}, "scale": 1}
    dataset = Dataset_PairedImage({**options, "gt_size": 384, "geometric_augs": True, "phase": "train"})
    published = time_of_loading(dataset, 384, 8)
    total = 0.0
    for side, count, iterations in zip(PATCHES, BATCHES, ITERS, strict=True):
        mine = time_of_loading(dataset, side, count)
        total += mine * iterations
        title = f"loading {count} pairs of {side}x{side}:"
        print(f"{title:32} {published:6.1f} ms published (8 of 384x384), {mine:6.1f} ms ours")
    mean = total / sum(ITERS)
    print(
        f"over the whole schedule: {published:.1f} ms published, {mean:.1f} ms ours, {published / mean:.1f}x"
    )


def time_of_loading(dataset: Dataset_PairedImage, side: int, count: int) -> float:
    """Milliseconds per batch in one process, the median of RUNS."""
    times = []
    for _ in range(RUNS):
        order = TrainOrder(Drawn(dataset), OneStage(side, count), total_iter=3, ratio=100)
        begin = time.perf_counter()
        for _batch in DataLoader(Drawn(dataset), batch_sampler=order):
            pass
        times.append((time.perf_counter() - begin) * 1000 / 3)
    return statistics.median(times)


def write_pictures() -> None:
    """Smooth noise, which PNG compresses about as well as photographs: GT 512x512, LQ half of that."""
    generator = np.random.default_rng(0)
    for folder, side in (("gt", 512), ("lq", 256)):
        Path(folder).mkdir()
        for index in range(12):
            coarse = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            noisy = picture + generator.integers(0, 5, picture.shape, np.uint8)
            write_picture(f"{folder}/{index:02}.png", noisy)


def rate_of_training(ours: bool, run: int) -> float:
    """Iterations per second of a run, measured when each iteration sets its learning rate."""
    data = {"name": "pairs", "type": "PairedImageDataset", "dataroot_gt": "gt", "dataroot_lq": "lq"}
    data |= {"io_backend": {"type": "disk"}, "gt_size": 48, "use_hflip": True, "use_rot": True}
    data |= {"num_worker_per_gpu": 1, "batch_size_per_gpu": 2, "dataset_enlarge_ratio": 10}
    options = {
        "name": f"bench_{run}_{'ours' if ours else 'basicsr'}",
        "model_type": "RestorationModel" if ours else "SRModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": data},
        "network_g": SWINIR,
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "ema_decay": 0.999,
            "optim_g": {"type": "Adam", "lr": 2e-4},
            "scheduler": {"type": "MultiStepLR", "milestones": [30], "gamma": 0.5},
            "total_iter": ITERATIONS,
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 10, "save_checkpoint_freq": 1000, "use_tb_logger": False},
    }
    file = f"{options['name']}.yml"
    Path(file).write_text(yaml.safe_dump(options, sort_keys=False))
    times, original = [], BaseModel.update_learning_rate

    def timed(self, current_iter, warmup_iter=-1):
        times.append(time.perf_counter())
        original(self, current_iter, warmup_iter)

    BaseModel.update_learning_rate = timed
    if ours:
        basicsr(["train", "-opt", file])
    else:
        sys.argv = ["train.py", "-opt", file]
        train_pipeline(str(Path.cwd()))
    return (ITERATIONS - 1 - WARM_UP) / (times[ITERATIONS - 1] - times[WARM_UP])


def in_a_process(function, *arguments):
    """The function's value, computed in a process of its own that writes nothing to the terminal."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_quiet, function, *arguments).result()


def _quiet(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*arguments)


if __name__ == "__main__":
    sys.exit(main())
