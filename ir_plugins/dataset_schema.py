"""What may stand in a block of `datasets`, and whether network_g takes what it gives."""

import inspect
from collections.abc import Iterator
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY

from .options import Options
from .problems import Problem, is_block, registered, unknown, unknown_keys
from .signatures import Keys, keys_read

# what BasicSR's pipelines and loaders look up themselves
LOADER = {"name", "type", "mode", "io_backend", "batch_size_per_gpu", "num_worker_per_gpu", "use_shuffle"}
LOADER |= {
    "dataset_enlarge_ratio",
    "prefetch_mode",
    "num_prefetch_queue",
    "pin_memory",
    "persistent_workers",
}
NEEDED = {"io_backend", "dataroot_gt", "dataroot_lq", "dataroot_lqL", "dataroot_lqR"}  # by who looks them up
INPUT_CHANNELS = ("inp_channels", "dd_in", "in_chans", "num_in_ch")  # how networks call them


def dataset_problems(
    keys: Keys, dataset: Any, *, is_train: bool, scale: Any, known: set[str]
) -> Iterator[Problem]:
    """Problems of the block at `keys`.

    known: the keys of it that the model looks up itself.  A dataset class may have a static method
    `option_problems` that yields a key and a text for every value that it cannot work with.
    """
    phase = keys[-1].split("_")[0]
    if phase not in ("train", "val", "test") or (is_train and phase == "test"):
        expected = (
            "train, val or val_1, val_2, ..." if is_train else "train, val or test, or test_1, test_2, ..."
        )
        yield Problem(keys, f"is not a phase; expected {expected}")
    if not is_block(dataset) or not dataset:
        yield Problem(keys, "must be a block of keys")
        return
    kind = registered(DATASET_REGISTRY, dataset.get("type"))
    if kind is None:
        yield unknown((*keys, "type"), dataset.get("type"), DATASET_REGISTRY.keys())
        return
    read = keys_read(kind)
    yield from unknown_keys(dataset, keys, LOADER | known | {path[0] for path in read})
    needed = NEEDED | ({"use_hflip", "use_rot"} if phase == "train" else set())
    needed &= {path[0] for path in keys_read(kind, required=True)}
    if phase == "train":
        needed |= {"batch_size_per_gpu", "num_worker_per_gpu"} | ({"gt_size"} & {path[0] for path in read})
    yield from (Problem((*keys, key), "is missing") for key in sorted(needed) if dataset.get(key) is None)
    prefetch = dataset.get("prefetch_mode")
    if prefetch not in (None, "cpu", "cuda"):
        yield Problem((*keys, "prefetch_mode"), f"is '{prefetch}'; expected ~, cpu or cuda")
    if dataset.get("persistent_workers") and not dataset.get("num_worker_per_gpu"):
        yield Problem((*keys, "persistent_workers"), "needs num_worker_per_gpu of at least 1")
    if prefetch == "cuda" and dataset.get("pin_memory") is not True:
        yield Problem((*keys, "prefetch_mode"), "cuda needs pin_memory: true beside it")
    io_backend = dataset.get("io_backend")
    if io_backend is not None and (
        not is_block(io_backend) or io_backend.get("type") not in ("disk", "lmdb")
    ):
        yield Problem((*keys, "io_backend"), "must be {type: disk} or {type: lmdb}")
    if hasattr(kind, "option_problems"):
        for key, text in kind.option_problems(dataset | {"phase": phase, "scale": scale}):
            yield Problem((*keys, key), text)


def channel_problems(options: Options) -> Iterator[Problem]:
    """Where network_g takes another number of channels than a dataset gives.

    BasicSR's paired dataset gives three, gray tripled, and one where it is told `color: y`; ours say it in a
    static method `channels`.
    """
    key, wanted = _input_channels(options.get("network_g") or {})
    for phase, dataset in (options.get("datasets") or {}).items():
        if wanted is None or not is_block(dataset) or not dataset:
            continue
        kind = registered(DATASET_REGISTRY, dataset.get("type"))
        text = ""
        if dataset.get("type") == "PairedImageDataset":
            given = 1 if dataset.get("color") == "y" else 3
            text = "; 3 is colour (gray is tripled), 1 is luma (color: y in the dataset)"
        elif hasattr(kind, "channels"):
            given = kind.channels(dataset)
        else:
            continue
        if given != wanted:
            yield Problem(
                ("network_g", key), f"is {wanted}, but datasets:{phase} gives {given} channels{text}"
            )


def _input_channels(network: Options) -> tuple[str, Any]:
    """The network's key for the channels it takes, and its value or default; "", None where it has none."""
    net = registered(ARCH_REGISTRY, network.get("type"))
    parameters = inspect.signature(net).parameters if net else {}
    for key in INPUT_CHANNELS:
        if key in parameters:
            default = parameters[key].default
            return key, network.get(key, default if isinstance(default, int) else None)
    return "", None
