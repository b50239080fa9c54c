"""What ten minutes of training on a CPU give, on pictures that training never saw.

    python scripts/ten_minutes.py denoise --source BSDS500/train      colour, sigma 25; BM3D beside it
    python scripts/ten_minutes.py derain  --source Rain100L/train     a folder with lq and gt

Every few pictures one is held out.  How many iterations fit into the time is measured first.  BM3D is PyPI's
(`pip install bm3d`, licensed for non-commercial use), and left out where it is missing.
Everything is written below --output.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from ir_plugins.data import GaussianNoiseDataset, PairedDataset
from ir_plugins.metrics import psnr, ssim
from ir_plugins.pictures.files import existing_folder, image_files
from ir_plugins.runtime.errors import UserError

from basicsr.utils import imfrombytes, tensor2img

SIGMA = 25
NET = {"type": "Restormer", "dim": 16, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}
NET |= {"heads": [1, 2, 4, 8]}
TASKS: dict[str, dict[str, Any]] = {
    "denoise": {
        "every": 17,
        "folders": {"gt": ""},
        "data": {"type": "GaussianNoiseDataset", "sigma": SIGMA},
        "norm": "BiasFree",
    },
    "derain": {
        "every": 5,
        "folders": {"lq": "lq", "gt": "gt"},
        "data": {"type": "PairedDataset"},
        "norm": "WithBias",
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--source", required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=10, metavar="N")
    parser.add_argument("--output", default="ten_minutes", metavar="DIR")
    args = parser.parse_args()
    task = TASKS[args.task]
    try:
        sources = {
            kind: existing_folder(Path(args.source, at), "--source") for kind, at in task["folders"].items()
        }
        output = Path(args.output, args.task)
        if output.exists():
            raise UserError(f"--output: {output} exists already; delete it or name another")
        counts = split(sources, output, task["every"])
    except UserError as error:
        print(f"ten_minutes: error: {error}", file=sys.stderr)
        return 2
    os.chdir(output)
    for kind in sources:
        basicsr("lmdb", "--input", f"train/{kind}", "--output", f"train_{kind}.lmdb", "--codec", "raw")

    short, long = (timed(options(args.task, "speed", total)) for total in (10, 50))
    total = max(50, int(60 * args.minutes * 40 / (long - short)))
    seconds = timed(options(args.task, args.task, total))
    print(f"\ntrained on {counts['train']} pictures: {total} iterations in {seconds:.0f} s")
    weights = f"path:pretrain_network_g=experiments/{args.task}/models/net_g_latest.pth"
    basicsr("test", "-opt", f"{args.task}.yml", "--force_yml", weights, "path:param_key_g=params_ema")
    compare(args.task, counts["held_out"])
    return 0


def split(sources: dict[str, Path], output: Path, every: int) -> dict[str, int]:
    """Copy the first of every `every` pictures to held_out, the others to train; return the counts."""
    counts = {}
    for kind, folder in sources.items():
        for number, file in enumerate(image_files(folder)):
            part = "train" if number % every else "held_out"
            (output / part / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, output / part / kind)
            counts[part, kind] = counts.get((part, kind), 0) + 1
    found = {part: counts.get((part, "gt"), 0) for part in ("train", "held_out")}
    if min(found.values()) < 1:
        raise UserError(
            f"--source: {', '.join(map(str, sources.values()))}: too few pictures to hold one out"
        )
    return found


def options(task: str, name: str, total: int) -> dict[str, Any]:
    """The option file of a run."""
    data = dict(TASKS[task]["data"])
    kinds = TASKS[task]["folders"]
    train = (
        data | {f"dataroot_{kind}": f"train_{kind}.lmdb" for kind in kinds} | {"io_backend": {"type": "lmdb"}}
    )
    train |= {"name": "train", "gt_size": 64, "use_hflip": True, "use_rot": True}
    train |= {"num_worker_per_gpu": 0, "batch_size_per_gpu": 8, "dataset_enlarge_ratio": 100}
    return {
        "name": name,
        "model_type": "RestorationModel",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": train, "test": held_out(task)},
        "network_g": NET | {"LayerNorm_type": TASKS[task]["norm"]},
        "train": {
            "precision": "bf16",
            "channels_last": True,
            "ema_decay": 0.99,
            "optim_g": {"type": "AdamW", "lr": 2e-3, "weight_decay": 1e-4, "betas": [0.9, 0.99]},
            "scheduler": {"type": "CosineAnnealingLR", "T_max": total, "eta_min": 1e-6},
            "total_iter": total,
            "warmup_iter": min(200, total // 10),
            "grad_clip": 0.1,
            "pixel_opt": {"type": "CharbonnierEps2Loss"},
        },
        "val": {
            "save_img": True,
            "pbar": True,
            "metrics": {"psnr": {"type": "psnr"}, "ssim": {"type": "ssim"}},
        },
        "logger": {"print_freq": 100, "save_checkpoint_freq": 100000},
    }


def held_out(task: str) -> dict[str, Any]:
    roots = {f"dataroot_{kind}": f"held_out/{kind}" for kind in TASKS[task]["folders"]}
    return TASKS[task]["data"] | roots | {"name": "held_out", "io_backend": {"type": "disk"}}


def timed(opt: dict[str, Any]) -> float:
    """Seconds of a training run."""
    file = Path(f"{opt['name']}.yml")
    train = {phase: data for phase, data in opt["datasets"].items() if phase == "train"}
    file.write_text(yaml.safe_dump(opt | {"datasets": train}, sort_keys=False))
    begin = time.perf_counter()
    basicsr("train", "-opt", str(file))
    file.write_text(yaml.safe_dump(opt, sort_keys=False))
    return time.perf_counter() - begin


def basicsr(*arguments: str) -> None:
    print(f"\n$ basicsr {' '.join(arguments)}", flush=True)
    if status := subprocess.run([sys.executable, "-m", "ir_plugins", *arguments]).returncode:
        sys.exit(status)


def compare(task: str, count: int) -> None:
    """Print the means over the held-out pictures of the input, of BM3D and of the network."""
    kind = GaussianNoiseDataset if task == "denoise" else PairedDataset
    dataset = kind(held_out(task) | {"phase": "test"})
    items = [dataset[index] for index in range(len(dataset))]
    ways: dict[str, Callable[[Tensor], Tensor]] = {"input": lambda lq: lq}
    if task == "denoise" and (bm3d := bm3d_or_none()):
        ways["BM3D"] = bm3d
    print(f"\n| {count} held-out pictures | PSNR | SSIM | PSNR-Y |\n| --- | --- | --- | --- |")
    for name, way in ways.items():
        results = [way(item["lq"]) for item in tqdm(items, desc=name, unit="image", delay=2, disable=None)]
        print_row(name, [as_picture(result) for result in results], items)
    folder = Path("results", task, "visualization", "held_out")
    saved = [np.asarray(read(folder / f"{item['name']}_{task}.png")) for item in items]
    print_row("Restormer, small", saved, items)


def print_row(name: str, results: list[np.ndarray], items: list[dict[str, Any]]) -> None:
    pairs = [(result, as_picture(item["gt"])) for result, item in zip(results, items, strict=True)]
    means = [
        np.mean([psnr(*pair) for pair in pairs]),
        np.mean([ssim(*pair) for pair in pairs]),
        np.mean([psnr(*pair, channels="y") for pair in pairs]),
    ]
    print(f"| {name} | {means[0]:.2f} | {means[1]:.4f} | {means[2]:.2f} |")


def as_picture(tensor: Tensor) -> np.ndarray:
    """(C, H, W) -> what would be saved: (H, W, C), BGR, clipped and rounded to 8 bits."""
    return np.asarray(tensor2img(tensor))


def read(file: Path) -> np.ndarray:
    return np.asarray(imfrombytes(file.read_bytes()))


def bm3d_or_none() -> Callable[[Tensor], Tensor] | None:
    try:
        from bm3d import bm3d_rgb
    except ImportError:
        print("BM3D is left out: pip install bm3d")
        return None

    def restored(lq: Tensor) -> Tensor:
        result = bm3d_rgb(lq.permute(1, 2, 0).numpy(), sigma_psd=SIGMA / 255)
        return torch.from_numpy(result.astype(np.float32)).permute(2, 0, 1)

    return restored


if __name__ == "__main__":
    sys.exit(main())
