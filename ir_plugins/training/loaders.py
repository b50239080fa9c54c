"""The loaders of a training run and of a test, built from their options."""

import math
from operator import itemgetter
from typing import Any

import torch
from torch.utils.data import DataLoader

from basicsr.data import build_dataloader, build_dataset
from basicsr.utils import get_root_logger

from ..data.patch_plan import OneStage, PatchPlan
from ..options.reading import Options
from ..reports.opening import ON_SCREEN
from ..runtime.errors import UserError
from ..runtime.interruption import ignore_signals
from .order import Drawn, Place, TrainOrder


def train_loader(opt: Options, state: dict[str, Any] | None) -> tuple[Any, TrainOrder]:
    """Build the loader of every batch that is left, and the order it follows.

    Args:
        opt: Options of the run.
        state: The training state that the run continues from; None for a new run.  BasicSR's own state does
            not hold the place in its epoch, so the epoch begins again.

    Raises:
        UserError: An epoch is too short for a batch.
    """
    data, train, state = opt["datasets"]["train"], opt["train"], state or {}
    dataset = sorted_dataset(data)
    drawn = Drawn(dataset)
    # without a launcher one process feeds all GPUs
    processes = 1 if opt["dist"] else max(1, opt["num_gpu"])
    try:
        order = TrainOrder(
            drawn,
            _plan(opt, processes),
            total_iter=train["total_iter"],
            first=state.get("iter", 0) + 1,
            place=Place(*state.get("place", (state.get("epoch", 0), 0))),
            ratio=data.get("dataset_enlarge_ratio", 1),
            seed=opt["manual_seed"],
            rank=opt["rank"],
            world_size=opt["world_size"],
        )
    except ValueError as error:
        raise UserError(
            f"datasets:train: {error}; lower batch_size_per_gpu or raise dataset_enlarge_ratio"
        ) from error
    _log_statistics(opt, order)
    workers = data["num_worker_per_gpu"] * processes
    # not BasicSR's build_dataloader, which takes no batch_sampler
    loader = DataLoader(
        drawn,
        batch_sampler=order,
        num_workers=workers,
        worker_init_fn=ignore_signals,
        pin_memory=data.get("pin_memory", False),
        generator=torch.Generator(),  # else the start of workers draws from the network's random numbers
    )
    return loader, order


def validation_loaders(opt: Options) -> list[DataLoader]:
    """Build a loader of each validation set, picture by picture."""
    sets = [data for data in opt["datasets"].values() if data["phase"] == "val"]
    return [_picture_loader(opt, data, "Number of val images/folders in") for data in sets]


def testing_loaders(opt: Options) -> list[DataLoader]:
    """Build a loader of each dataset, picture by picture, in the order of the blocks' names."""
    sets = [data for _, data in sorted(opt["datasets"].items())]
    return [_picture_loader(opt, data, "Number of test images in") for data in sets]


def sorted_dataset(data: Options) -> Any:
    """Build a dataset whose pictures are in the same order on every machine.

    Args:
        data: The dataset's block.
    """
    dataset: Any = build_dataset(data)
    if hasattr(dataset, "groups"):  # one of ours, which sorts pictures and groups together
        return dataset
    if isinstance(paths := getattr(dataset, "paths", None), list) and paths and isinstance(paths[0], dict):
        paths.sort(key=itemgetter("gt_path"))  # BasicSR leaves them in the file system's order
    return dataset


def _picture_loader(opt: Options, data: Options, what: str) -> DataLoader:
    dataset = sorted_dataset(data)
    loader = build_dataloader(dataset, data, num_gpu=opt["num_gpu"], dist=opt["dist"])
    get_root_logger().info(f"{what} {data['name']}: {len(dataset)}")
    if opt["rank"] == 0 and hasattr(dataset, "notes"):
        for note in dataset.notes():
            get_root_logger().info(f"{data['name']}: {note}", extra=ON_SCREEN)
    return loader


def _plan(opt: Options, processes: int) -> PatchPlan:
    """The sizes of a whole step of this rank, all micro-batches together."""
    data, train = opt["datasets"]["train"], opt["train"]
    times = processes * (train.get("accumulate") or 1)
    if (progressive := train.get("progressive")) is None:
        return OneStage(None, data["batch_size_per_gpu"] * times)
    sizes = [size * times for size in progressive["batch_sizes"]]
    return PatchPlan(patch_sizes=progressive["patch_sizes"], batch_sizes=sizes, iters=progressive["iters"])


def _log_statistics(opt: Options, order: TrainOrder) -> None:
    """Log BasicSR's lines about the length of the training, which people's scripts read."""
    data, epoch = opt["datasets"]["train"], len(order.shuffle)
    per_epoch = epoch // (order.plan.stages[0].batch_size * order.world_size)
    get_root_logger().info(
        "Training statistics:"
        f"\n\tNumber of train images: {len(order.dataset)}"
        f"\n\tDataset enlarge ratio: {data.get('dataset_enlarge_ratio', 1)}"
        f"\n\tBatch size per gpu: {data['batch_size_per_gpu']}"
        f"\n\tWorld size (gpu number): {order.world_size}"
        f"\n\tRequire iter number per epoch: {per_epoch}"
        f"\n\tTotal epochs: {math.ceil(order.total_iter / per_epoch)}; iters: {order.total_iter}."
    )
