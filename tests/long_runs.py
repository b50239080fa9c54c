"""Runs that are stopped and resumed, and the comparison of their results."""

import logging
from pathlib import Path

import torch

from ir_plugins.cli import main

from basicsr.utils.logger import initialized_logger

TOTAL = 60
LAST = f"{TOTAL}.state"

# with most things that draw random numbers or keep a state
RUNS = {
    "fp32": ["train:mixup={beta: 1.2, identity: true}", "network_g:drop_path_rate=0.5"],
    "bf16": ["train:precision=bf16", "network_g:train_top_k=[3,7]", "train:grad_clip=0.01"],
    "fp16": ["train:precision=fp16", "datasets:train:num_worker_per_gpu=0", "train:ema_decay=0"],
    "accumulation and stages": [
        "train:accumulate=2",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [23, 37]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
    "two ranks": [
        "train:accumulate=2",
        "train:precision=bf16",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [21, 39]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
}


def finish(started, seconds=120):
    for process in started:
        process.join(seconds)
    assert [process.exitcode for process in started] == [0] * len(started)


def differences(a, b, where=""):
    """Where two results are not the same to the bit."""
    if type(a) is not type(b):
        return [where]
    if isinstance(a, dict):
        keys = [*a, *(key for key in b if key not in a)]
        both = [key for key in keys if key in a and key in b]
        found = [d for key in both for d in differences(a[key], b[key], f"{where}/{key}")]
        return found + [f"{where}/{key}" for key in keys if key not in both]
    if isinstance(a, list | tuple):
        found = [
            d for i, (x, y) in enumerate(zip(a, b, strict=False)) for d in differences(x, y, f"{where}/{i}")
        ]
        return found + ([where] if len(a) != len(b) else [])
    return [] if (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b) else [where]


SHORT = ["train:total_iter=20", "logger:save_checkpoint_freq=5", "logger:keep_last=3"]


def short(name, *flags, resume=True):
    """A run of 20 iterations in this process; four checkpoints, of which the last three stay."""
    initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()
    arguments = ["train", "-opt", "o.yml", "--force_yml", f"name={name}", *SHORT, *RUNS["fp32"], *flags]
    return main([*arguments, *(["--auto_resume"] if resume else [])])


def states(name):
    return sorted(int(file.stem) for file in Path("experiments", name, "training_states").glob("*.state"))


def same(a, b, iteration=20):
    files = [Path("experiments", name, f"training_states/{iteration}.state") for name in (a, b)]
    files += [Path("experiments", name, f"models/net_g_{iteration}.pth") for name in (a, b)]
    contents = [torch.load(file, weights_only=True) for file in files]
    return not differences(contents[0], contents[1]) and not differences(contents[2], contents[3])
