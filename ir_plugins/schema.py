"""What may stand in an option file: every key, checked against what will read it.

Arguments of networks, losses, metrics, optimizers and schedulers come from their signatures; what BasicSR's
models and datasets look up in their options is found in their source, so a plugin's classes are known as soon
as they are registered.
"""

import difflib
import importlib.util
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from basicsr.models import lr_scheduler
from basicsr.models.base_model import BaseModel
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

from . import rehearsal
from .errors import UserError
from .options import Options, locate
from .signatures import Keys, fits, keys_read, kind_of

# what BasicSR's pipelines, loaders and loggers look up themselves
TOP = {"name", "model_type", "scale", "num_gpu", "manual_seed", "datasets", "path", "train", "val", "logger"}
TOP |= {"dist_params", "find_unused_parameters"}
DATASET = {"name", "type", "mode", "io_backend", "batch_size_per_gpu", "num_worker_per_gpu", "use_shuffle"}
DATASET |= {
    "dataset_enlarge_ratio",
    "prefetch_mode",
    "num_prefetch_queue",
    "pin_memory",
    "persistent_workers",
}
BLOCKS: dict[str, set[str]] = {
    "path": {"resume_state", "ignore_resume_networks"},
    "train": {"total_iter", "warmup_iter"},
    "val": {"val_freq", "save_img", "pbar", "suffix", "metrics"},
    "logger": {"print_freq", "save_checkpoint_freq", "use_tb_logger", "wandb"},
    "dist_params": {"backend", "port"},
}
NETWORK_PATHS = ("pretrain_", "param_key_", "strict_load_")  # each followed by a network's name
SCHEDULERS: dict[str, Callable] = {
    "MultiStepLR": lr_scheduler.MultiStepRestartLR,  # BasicSR gives both names to one class
    "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
    "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
}
LEAST = {"scale": 1, "total_iter": 1, "val_freq": 1, "print_freq": 1, "save_checkpoint_freq": 1, "gt_size": 1}
LEAST |= {"batch_size_per_gpu": 1, "num_worker_per_gpu": 0, "num_gpu": 0, "crop_border": 0, "manual_seed": 0}
LEAST |= {"warmup_iter": -1}
BELOW = {"ema_decay": 1.0, "dataset_enlarge_ratio": 1e9, "lr": 1e9}  # from 0, fractions allowed


class Problem(NamedTuple):
    keys: Keys
    text: str


def check(options: Options, path: str, *, is_train: bool, force: Iterable[str] | None = None) -> None:
    """Raise UserError with one line per problem, "file:line: block:key: what and how to mend it".

    force: the `K:K=V` overrides that are already in the options; a problem of theirs stands in no line of the
    file.
    """
    problems = list(dict.fromkeys(_problems(options, is_train)))
    if not problems:
        tried = optimizers(), SCHEDULERS, entries(LOSS_REGISTRY), entries(METRIC_REGISTRY)
        problems = [Problem(*failure) for failure in rehearsal.failures(options, *tried)]
    forced = {entry.partition("=")[0] for entry in force or []}
    if problems:
        named = ((":".join(keys), keys, text) for keys, text in problems)
        lines = (f"{'--force_yml' if n in forced else locate(path, k)}: {n}: {text}" for n, k, text in named)
        raise UserError("\n".join(lines))


def build_on_meta(network: Options) -> nn.Module | None:
    """The network without memory; None where a foreign net computes with numbers while it is built."""
    arguments = {key: value for key, value in network.items() if key != "type"}
    try:
        with torch.device("meta"):
            return entries(ARCH_REGISTRY)[network["type"]](**arguments)
    except (NotImplementedError, RuntimeError):
        return None


def optimizers() -> dict[str, Callable]:
    """The optimizers of torch.optim by name."""
    found = {name: item for name, item in vars(torch.optim).items() if inspect.isclass(item)}
    return {
        name: c for name, c in found.items() if issubclass(c, torch.optim.Optimizer) and name != "Optimizer"
    }


def _problems(options: Options, is_train: bool) -> Iterator[Problem]:
    needed = ["name", "model_type", "datasets", "network_g", *(["train"] if is_train else [])]
    yield from (Problem((key,), "is missing") for key in needed if options.get(key) is None)
    yield from _wrong_names(options)
    blocks = ["datasets", *BLOCKS, *(key for key in options if key.startswith("network_"))]
    yield from (
        Problem((key,), "must be a block of keys") for key in blocks if not _is_block(options.get(key, {}))
    )
    yield from _wrong_numbers(options, ())
    options = {key: value for key, value in options.items() if key not in blocks or _is_block(value)}

    model = _registered(MODEL_REGISTRY, options.get("model_type"))
    if options.get("model_type") is not None and model is None:
        yield _unknown(("model_type",), options["model_type"], MODEL_REGISTRY.keys())
    read = keys_read(model) if model else set()
    networks = [key for key in options if key.startswith("network_")]
    if is_train and ("network_d",) in read and not options.get("network_d"):
        yield Problem(("network_d",), f"is missing; {options['model_type']} needs it")
    yield from _unknown_keys(options, (), TOP | set(networks) | {keys[0] for keys in read})
    for block, known in BLOCKS.items() if model else ():
        known = known | {keys[1] for keys in read if len(keys) > 1 and keys[0] == block}
        if block == "path":
            known = known | {prefix + name for prefix in NETWORK_PATHS for name in networks}
            known |= {prefix + name.removeprefix("network_") for prefix in NETWORK_PATHS for name in networks}
        yield from _unknown_keys(options.get(block) or {}, (block,), known)
    if _value(options, "logger", "wandb", "project"):
        if importlib.util.find_spec("wandb") is None:
            yield Problem(
                ("logger", "wandb"), "needs the package wandb: pip install wandb, or set project: ~"
            )
        if not _value(options, "logger", "use_tb_logger"):
            yield Problem(("logger", "wandb"), "mirrors tensorboard; set use_tb_logger: true beside it")

    if is_train and "train" not in (options.get("datasets") or {}):
        yield Problem(("datasets",), "has no block train")
    for phase, dataset in (options.get("datasets") or {}).items():
        yield from _dataset_problems(("datasets", phase), dataset, is_train)
    yield from _channel_problems(options)
    for name in networks:
        yield from _network_problems((name,), options[name] or {}, options.get("scale"))
    if is_train:
        yield from _train_problems(options.get("train") or {}, model)
    for name, block in (options.get("train") or {}).items():
        if name.startswith("optim_"):
            yield from _call_problems(("train", name), block, optimizers(), given={"params"})
        elif name == "scheduler":
            yield from _period_problems(block, options["train"])
            yield from _call_problems(("train", name), block, SCHEDULERS, given={"optimizer", "last_epoch"})
        elif name.endswith("_opt") and block is not None:
            yield from _call_problems(("train", name), block, entries(LOSS_REGISTRY))
    metrics = (options.get("val") or {}).get("metrics")
    if not _is_block(metrics):
        yield Problem(("val", "metrics"), "must be a block of keys")
        metrics = None
    for name, block in (metrics or {}).items():
        given = {"img", "img2", "better"}
        yield from _call_problems(
            ("val", "metrics", name), block, entries(METRIC_REGISTRY), given, extra={"better"}
        )


def _wrong_names(options: Options) -> Iterator[Problem]:
    """Names become folders and files: none may lead out of the folder that it is for."""
    names: dict[Keys, Any] = {
        ("name",): options.get("name"),
        ("val", "suffix"): _value(options, "val", "suffix"),
    }
    datasets = options.get("datasets")
    for phase in datasets if isinstance(datasets, dict) else ():
        names["datasets", phase, "name"] = _value(datasets, phase, "name")
    for keys, name in names.items():
        if name is not None and not (
            isinstance(name, str) and re.fullmatch(r"(?!\.*$)[^/\\\x00-\x1f]{1,100}", name)
        ):
            yield Problem(
                keys, f"is {name!r}; expected a word that can name a folder: no slash, not only dots"
            )


def _value(block: Any, *keys: str) -> Any:
    for key in keys:
        block = block.get(key) if isinstance(block, dict) else None
    return block


def _train_problems(train: Options, model: Any) -> Iterator[Problem]:
    for key in ("total_iter", "optim_g", "scheduler"):
        if train.get(key) is None:
            yield Problem(("train", key), "is missing")
    if not train.get("pixel_opt") and not train.get("perceptual_opt"):
        yield Problem(("train", "pixel_opt"), "is missing: there is no loss to train with")
    optimizer = _value(train, "optim_g", "type")
    if model and model.get_optimizer is BaseModel.get_optimizer and optimizer != "Adam":
        text = f"is {optimizer}, but {model.__name__} knows Adam only; model_type RestorationModel knows all"
        yield Problem(("train", "optim_g", "type"), text)


def _period_problems(scheduler: Any, train: Options) -> Iterator[Problem]:
    periods, total_iter = _value(scheduler, "periods"), train.get("total_iter")
    if fits(periods, Sequence[int]) and isinstance(total_iter, int) and sum(periods) < total_iter:
        text = (
            f"sum to {sum(periods)}, but total_iter is {total_iter}; past their end there is no learning rate"
        )
        yield Problem(("train", "scheduler", "periods"), f"{text}: make them as long")


def _channel_problems(options: Options) -> Iterator[Problem]:
    """BasicSR's paired dataset gives three channels, gray tripled; one where it is told `color: y`."""
    wanted = (options.get("network_g") or {}).get("in_chans")
    for phase, dataset in (options.get("datasets") or {}).items():
        if wanted is None or not _is_block(dataset) or (dataset or {}).get("type") != "PairedImageDataset":
            continue
        given = 1 if dataset.get("color") == "y" else 3
        if given != wanted:
            text = f"is {wanted}, but datasets:{phase} gives {given} channels; "
            text += "3 is colour (gray is tripled), 1 is luma (color: y in the dataset)"
            yield Problem(("network_g", "in_chans"), text)


def _dataset_problems(keys: Keys, dataset: Any, is_train: bool) -> Iterator[Problem]:
    phase = keys[-1].split("_")[0]
    if phase not in ("train", "val", "test") or (is_train and phase == "test"):
        expected = (
            "train, val or val_1, val_2, ..." if is_train else "train, val or test, or test_1, test_2, ..."
        )
        yield Problem(keys, f"is not a phase; expected {expected}")
    if not _is_block(dataset) or not dataset:
        yield Problem(keys, "must be a block of keys")
        return
    kind = _registered(DATASET_REGISTRY, dataset.get("type"))
    if kind is None:
        yield _unknown((*keys, "type"), dataset.get("type"), DATASET_REGISTRY.keys())
        return
    read = keys_read(kind)
    yield from _unknown_keys(dataset, keys, DATASET | {path[0] for path in read})
    needed = {
        "io_backend",
        "dataroot_gt",
        "dataroot_lq",
        *(("use_hflip", "use_rot") if phase == "train" else ()),
    } & {path[0] for path in read}
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
        not _is_block(io_backend) or io_backend.get("type") not in ("disk", "lmdb")
    ):
        yield Problem((*keys, "io_backend"), "must be {type: disk} or {type: lmdb}")


def _network_problems(keys: Keys, network: Options, scale: int | None) -> Iterator[Problem]:
    found = list(_call_problems(keys, network, entries(ARCH_REGISTRY)))
    yield from found
    if found:
        return
    upscale = network.get("upscale")
    if upscale is not None and scale is not None and upscale != scale:
        yield Problem((*keys, "upscale"), f"is {upscale}, but scale is {scale}; make them equal")
    try:
        build_on_meta(network)
    except (ValueError, TypeError, ArithmeticError) as error:
        yield Problem(keys, str(error))


def _call_problems(
    keys: Keys,
    block: Any,
    callables: dict[str, Callable],
    given: Iterable[str] = (),
    extra: Iterable[str] = (),
) -> Iterator[Problem]:
    """Problems of a block {type: name, argument: value, ...}; `given` arguments are passed by the caller."""
    if not _is_block(block):
        yield Problem(keys, "must be a block of keys")
        return
    target = callables.get(str(block.get("type")))
    if target is None:
        yield _unknown((*keys, "type"), block.get("type"), callables)
        return
    parameters = inspect.signature(target).parameters.values()
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - set(given)
    if all(p.kind != p.VAR_KEYWORD for p in parameters) or extra:
        yield from _unknown_keys(block, keys, known | {"type"} | set(extra))
    for p in parameters:
        if p.name in block and p.name in known and not fits(block[p.name], p.annotation):
            yield Problem((*keys, p.name), f"is {block[p.name]!r}; expected {kind_of(p.annotation)}")
    needed = [p.name for p in parameters if p.default is p.empty and p.name in known]
    yield from (
        Problem((*keys, name), f"is missing; {block['type']} needs it")
        for name in needed
        if name not in block
    )


def _wrong_numbers(block: Options, keys: Keys) -> Iterator[Problem]:
    for key, value in block.items():
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if key in LEAST and not (key == "num_gpu" and value == "auto"):
            # nan compares as false with everything
            if not LEAST[key] <= number < 2**31 or number != int(number):
                yield Problem((*keys, key), f"is {value!r}; expected a whole number of at least {LEAST[key]}")
        elif key in BELOW and not 0 <= number < BELOW[key]:
            yield Problem((*keys, key), f"is {value!r}; expected a number from 0 to below {BELOW[key]:g}")
        elif isinstance(value, dict):
            yield from _wrong_numbers(value, (*keys, key))


def _unknown_keys(block: Options, keys: Keys, known: set[str]) -> Iterator[Problem]:
    for key in block:
        if key not in known:
            yield _unknown((*keys, str(key)), None, known)


def _unknown(keys: Keys, value: Any, known: Iterable[str]) -> Problem:
    wrong = keys[-1] if value is None else str(value)
    near = difflib.get_close_matches(wrong, sorted(known), n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(sorted(known))}"
    if keys[-1] in ("type", "model_type"):
        return Problem(keys, ("is missing" if value is None else f"'{value}' is not known") + hint)
    return Problem(keys, f"unknown key{hint}")


def entries(registry: Registry) -> dict[str, Callable]:
    """What is registered, by name."""
    return dict(iter(registry))


def _registered(registry: Registry, name: Any) -> Any:
    # not registry.get, which prints a line about a suffix whenever a name is missing
    return entries(registry).get(str(name)) or entries(registry).get(f"{name}_basicsr")


def _is_block(value: Any) -> bool:
    return value is None or isinstance(value, dict)
