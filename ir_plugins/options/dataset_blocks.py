"""What may stand in a block of `datasets`, and whether network_g takes what it gives."""

import re
from collections.abc import Iterator, Set
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY

from .basicsr_keys import LOADER, PICTURES
from .problems import Key, Problem, is_block, unknown, unknown_keys, value_at
from .registries import registered
from .signatures import Keys, keys_read

NEEDED = {"io_backend", "dataroot_gt", "dataroot_lq", "dataroot_lqL", "dataroot_lqR"}  # by who looks them up
KEYS = LOADER | PICTURES
# the dataset names the databases itself
BACKENDS = {"disk": (), "lmdb": ("db_paths", "client_keys", "readonly", "lock", "readahead")}


def dataset_problems(
    keys: Keys, dataset: Any, *, is_train: bool, scale: Any, known: set[str]
) -> Iterator[Problem]:
    """Problems of the block at `keys`.

    known: the keys of it that the model looks up itself.  A dataset class may declare keys in `option_keys`,
    and have a method `option_problems` that yields a key and a text for every value that it cannot work with.
    """
    phase = keys[-1].split("_")[0]
    if not re.fullmatch(r"train|(val|test)(_.*)?", keys[-1]) or (is_train and phase == "test"):
        expected = "val or val_1, val_2, ..." if is_train else "val or test, or test_1, test_2, ..."
        yield Problem(keys, f"is not a phase; expected train, {expected}")
        return
    if not is_block(dataset) or not dataset:
        yield Problem(keys, "must be a block of keys")
        return
    kind = registered(DATASET_REGISTRY, dataset.get("type"))
    if kind is None:
        yield unknown((*keys, "type"), dataset.get("type"), DATASET_REGISTRY.keys())
        return
    read = known_keys(kind)
    yield from unknown_keys(dataset, keys, LOADER.keys() | known | read)
    needed = needed_keys(kind, {"use_hflip", "use_rot"} if phase == "train" else set())
    if phase == "train":
        needed |= {"batch_size_per_gpu", "num_worker_per_gpu"} | ({"gt_size"} & read)
    for key in sorted(needed):
        # Restormer's files write `none`, which its own datasets judge
        if dataset.get(key) in (None, "") or (
            dataset[key] == "none" and not hasattr(kind, "option_problems")
        ):
            yield Problem((*keys, key), "is missing")
    for key, key_of in (KEYS | declared(kind)).items():
        if key in dataset and (fault := key_of.fault(dataset[key])):
            yield Problem((*keys, key), fault)
    if (dataset.get("mean") is None) != (dataset.get("std") is None):
        yield Problem((*keys, "mean"), "and std need each other")
    if dataset.get("persistent_workers") and not dataset.get("num_worker_per_gpu"):
        yield Problem((*keys, "persistent_workers"), "needs num_worker_per_gpu of at least 1")
    if dataset.get("prefetch_mode") == "cuda" and dataset.get("pin_memory") is not True:
        yield Problem((*keys, "prefetch_mode"), "cuda needs pin_memory: true beside it")
    yield from backend_problems((*keys, "io_backend"), dataset.get("io_backend"))
    if hasattr(kind, "option_problems"):
        for key, text in kind.option_problems(dataset | {"phase": phase, "scale": scale}):
            yield Problem((*keys, *key.split(":")), text)


def declared(kind: Any) -> dict[str, Key]:
    """The keys that a dataset class declares in its `option_keys`; BasicSR's declare none."""
    return dict(getattr(kind, "option_keys", {}))


def known_keys(kind: Any) -> set[str]:
    """What a dataset class looks up in its block: as it declares, or as its source shows."""
    return set(declared(kind)) or {path[0] for path in keys_read(kind)}


def needed_keys(kind: Any, also: Set[str] = frozenset()) -> set[str]:
    """What a dataset class cannot do without, of the keys that are needed in every phase and of `also`."""
    if hasattr(kind, "needed"):
        return set(kind.needed) | (also & known_keys(kind))
    return (NEEDED | also) & {path[0] for path in keys_read(kind, required=True)}


def backend_problems(keys: Keys, backend: Any) -> Iterator[Problem]:
    """Problems of the block io_backend, which stands at `keys`."""
    if backend is None:
        return
    if value_at(backend, "type") not in BACKENDS:
        yield Problem(keys, "must be {type: disk} or {type: lmdb}")
    else:
        yield from unknown_keys(backend, keys, {"type", *BACKENDS[backend["type"]]})
