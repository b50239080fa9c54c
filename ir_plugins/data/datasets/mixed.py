"""Several datasets as one, for one network for all kinds of weather."""

import random
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.dataset_blocks import backend_problems, known_keys
from ...options.problems import Key, Problem, unknown, unknown_keys
from ...options.registries import registered
from ...runtime.errors import UserError
from .paired import PairedDataset


@DATASET_REGISTRY.register()
class MixedDataset(Dataset):
    """Several datasets as one, for one network that restores after rain, snow and drops.

    `sets` holds the blocks of datasets by any names; one without `type` is a PairedDataset, and keys that it
    leaves out come from the block around it (io_backend, gt_size, ...).  `weight`, in such a block, says how
    often its pictures come, relative to the other sets'; all sets have one, or none.  Without weights, every
    picture comes once an epoch; with weights, an epoch is as long and its pictures are drawn at random.

    An item is the set's own; its `name` begins with the set's.
    """

    needed: tuple[str, ...] = ("sets",)
    option_keys: Mapping[str, Key] = {
        **PairedDataset.option_keys,
        "sets": Key(
            dict,
            "blocks of datasets by any names; with `weight` in each, pictures are drawn in these proportions",
        ),
    }

    def __init__(self, opt: dict[str, Any]):
        for key, text in self.option_problems(opt):
            raise UserError(f"{key}: {text}")
        self.opt, self.names = opt, list(opt["sets"])
        self.sets: list[Any] = [
            registered(DATASET_REGISTRY, block["type"])(block) for block in blocks(opt).values()
        ]
        self.ends = list(accumulate(map(len, self.sets)))
        self.weights = [block.get("weight") for block in opt["sets"].values()]
        self.groups = [
            name for name, part in zip(self.names, self.sets, strict=True) for _ in range(len(part))
        ]

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The key and a text for each mistake in an option block, for `options.dataset_blocks`."""
        if faults := list(_type_problems(opt.get("sets"))):
            yield from faults
            return
        faults = [*_weight_problems(opt["sets"]), *_block_problems(opt)]
        yield from faults or _channel_problems(_channels(opt))

    @classmethod
    def channels(cls, opt: Mapping[str, Any]) -> int | None:
        """The channels of lq, None if the sets are no blocks of datasets."""
        return None if any(_type_problems(opt.get("sets"))) else next(iter(_channels(opt).values()))

    def notes(self) -> Iterator[str]:
        """Lines for the log of the sets that have some."""
        for part in self.sets:
            if hasattr(part, "notes"):
                yield from part.notes()

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]  # beyond the end an IndexError, which ends a loop
        if self.opt["phase"] == "train" and None not in self.weights:
            (number,) = random.choices(range(len(self.sets)), self.weights)
            place = random.randrange(len(self.sets[number]))
        else:
            number = next(n for n, end in enumerate(self.ends) if index < end)
            place = index - self.ends[number] + len(self.sets[number])
        part = self.sets[number]
        if "gt_size" in self.opt:
            part.opt["gt_size"] = self.opt["gt_size"]  # a progressive plan changes it
        item = part[place]
        return item | {"name": f"{self.names[number]}/{item['name']}"}


def blocks(opt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The block of each set, filled up from the block around it."""
    around = {key: value for key, value in opt.items() if key not in ("sets", "type", "name")}
    return {
        name: {"type": "PairedDataset"} | around | {k: v for k, v in block.items() if k != "weight"}
        for name, block in opt["sets"].items()
    }


def _channels(opt: Mapping[str, Any]) -> dict[str, int]:
    """The channels of each set."""
    return {
        name: registered(DATASET_REGISTRY, block["type"]).channels(block)
        for name, block in blocks(opt).items()
    }


def _type_problems(sets: Any) -> Iterator[tuple[str, str]]:
    """Mistakes that make the sets no blocks of datasets that can be mixed."""
    if not isinstance(sets, dict) or not sets or not all(isinstance(b, dict) for b in sets.values()):
        yield "sets", "must be a block of datasets' blocks: {rain: {dataroot_gt: ..., dataroot_lq: ...}}"
        return
    known = [key for key, item in DATASET_REGISTRY if hasattr(item, "pairings_of")]
    for name, block in sets.items():
        if "gt_size" in block:
            yield f"sets:{name}:gt_size", "belongs in the block around `sets`, because a batch has one size"
        if "type" in block and block["type"] not in known:
            yield f"sets:{name}:type", unknown(("type",), block["type"], known).text


def _weight_problems(sets: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    weights = {name: block.get("weight") for name, block in sets.items()}
    for name, weight in weights.items():
        if weight is not None and (fault := Key(float, "", above=0).fault(weight)):
            yield f"sets:{name}:weight", fault
    missing = [name for name, weight in weights.items() if weight is None]
    if missing and len(missing) < len(weights):
        yield f"sets:{missing[0]}", "has no weight, but others have; give all one"


def _block_problems(opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, block in blocks(opt).items():
        kind = registered(DATASET_REGISTRY, block["type"])
        known = known_keys(kind) | {"type", "name", "mode", "io_backend", "weight"}
        problems = [
            *unknown_keys(opt["sets"][name], (), known),
            *(Problem((key,), "is missing") for key in sorted(kind.needed) if block.get(key) in (None, "")),
            *backend_problems(("io_backend",), block.get("io_backend")),
            *(Problem((key,), text) for key, text in kind.option_problems(block)),
        ]
        for keys, text in problems:
            yield ":".join(("sets", str(name), *keys)), text


def _channel_problems(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    (first, given), *others = counts.items()
    for name, count in others:
        if count != given:
            yield f"sets:{name}", f"gives {count} channels, but {first} {given}; all must give as many"
