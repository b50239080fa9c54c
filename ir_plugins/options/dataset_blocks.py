"""Check a block of `datasets`."""

import re
from collections.abc import Iterator, Set
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY

from .basicsr_keys import LOADER, PICTURES
from .problems import Key, Problem, is_block, unknown, unknown_keys, value_at
from .reading import Options
from .registries import registered
from .signatures import Keys, keys_read

NEEDED = {
    "io_backend",
    "dataroot_gt",
    "dataroot_lq",
    "dataroot_lqL",
    "dataroot_lqR",
}  # by a class that looks them up
KEYS = LOADER | PICTURES
CHECKED_APART = ("name", "io_backend")  # the one with all names of folders, the other as a block
# each type of io_backend, and the keys beside it; the dataset adds the databases' names itself
BACKENDS = {"disk": (), "lmdb": ("db_paths", "client_keys", "readonly", "lock", "readahead")}


def dataset_problems(
    keys: Keys, dataset: Any, *, is_train: bool, scale: Any, known: set[str]
) -> Iterator[Problem]:
    """Find everything that is wrong with a dataset's block; one check reports each key.

    A dataset class may declare keys in `option_keys`, and have a method `option_problems(block)` that yields
    a key and a text for every value that it cannot work with; it gets the values that are of the right kind.

    Args:
        keys: Where the block stands: ("datasets", phase).
        dataset: The block.
        is_train: Whether the file is for training.
        scale: Scale of the whole file.
        known: Keys of the block that the model looks up itself.
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
    known = LOADER.keys() | known | known_keys(kind)
    yield from unknown_keys(dataset, keys, known)
    missing = _missing(kind, dataset, training=phase == "train")
    yield from (Problem((*keys, key), "is missing") for key in missing)
    given = {key: value for key, value in dataset.items() if key in known and key not in missing}
    unsound = dict(_value_problems(kind, given))
    yield from (Problem((*keys, key), text) for key, text in unsound.items())
    backend = list(backend_problems((*keys, "io_backend"), given.get("io_backend")))
    yield from backend
    if hasattr(kind, "option_problems"):
        # values that are reported already count as missing
        sound = {key: value for key, value in given.items() if key not in unsound}
        sound |= {"io_backend": {"type": "disk"}} if backend else {}
        for key, text in kind.option_problems(sound | {"phase": phase, "scale": scale}):
            if key not in missing and key not in unsound:
                yield Problem((*keys, *key.split(":")), text)


def _missing(kind: Any, dataset: Options, *, training: bool) -> list[str]:
    needed = needed_keys(kind, {"use_hflip", "use_rot"} if training else set())
    if training:
        needed |= {"batch_size_per_gpu", "num_worker_per_gpu"} | ({"gt_size"} & known_keys(kind))
    # Restormer's files write `none`, which its own datasets judge
    nothing = (None, "") if hasattr(kind, "option_problems") else (None, "", "none")
    return [key for key in sorted(needed) if dataset.get(key) in nothing]


def _value_problems(kind: Any, given: Options) -> Iterator[tuple[str, str]]:
    """Values that their key does not take, and keys that need each other."""
    faults = {
        key: fault
        for key, declared_key in (KEYS | declared_keys(kind)).items()
        if key in given and key not in CHECKED_APART and (fault := declared_key.fault(given[key]))
    }
    yield from faults.items()
    if (given.get("mean") is None) != (given.get("std") is None) and not faults.keys() & {"mean", "std"}:
        yield "mean", "and std need each other"
    if given.get("persistent_workers") is True and not given.get("num_worker_per_gpu"):
        yield "persistent_workers", "needs num_worker_per_gpu of at least 1"
    if given.get("prefetch_mode") == "cuda" and given.get("pin_memory") is not True:
        yield "prefetch_mode", "cuda needs pin_memory: true beside it"


def declared_keys(kind: Any) -> dict[str, Key]:
    """The keys that a dataset class declares in its `option_keys`; BasicSR's declare none."""
    return dict(getattr(kind, "option_keys", {}))


def known_keys(kind: Any) -> set[str]:
    """The keys that a dataset class looks up: those it declares, else those in its source."""
    return set(declared_keys(kind)) or {path[0] for path in keys_read(kind)}


def needed_keys(kind: Any, also: Set[str] = frozenset()) -> set[str]:
    """The keys that a dataset class requires.

    Args:
        kind: The class.
        also: Keys that are required in this phase, if the class knows them.
    """
    if hasattr(kind, "needed"):
        return set(kind.needed) | (also & known_keys(kind))
    return (NEEDED | also) & {path[0] for path in keys_read(kind, required=True)}


def backend_problems(keys: Keys, backend: Any) -> Iterator[Problem]:
    """Find what is wrong with a block io_backend.

    Args:
        keys: Where it stands.
        backend: The block; None if it is missing, which another check reports.
    """
    if backend is None:
        return
    if str(value_at(backend, "type")) not in BACKENDS:
        yield Problem(keys, "must be {type: disk} or {type: lmdb}")
    else:
        yield from unknown_keys(backend, keys, {"type", *BACKENDS[backend["type"]]})
