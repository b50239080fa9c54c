"""What may stand in an option file: every key, checked against what will read it.

Arguments of networks, losses, metrics, optimizers and schedulers come from their signatures; what BasicSR's
models and datasets look up in their options is found in their source, so a plugin's classes are known as soon
as they are registered.
"""

import importlib.util
import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from basicsr.models import lr_scheduler
from basicsr.models.base_model import BaseModel
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from . import rehearsal
from .dataset_schema import channel_problems, dataset_problems
from .errors import UserError
from .options import Options, locate
from .problems import Key, Problem, entries, is_block, registered, unknown, unknown_keys, value_at
from .signatures import Keys, fits, keys_read, kind_of

# what BasicSR's pipelines, loaders and loggers look up themselves
TOP = {"name", "model_type", "scale", "num_gpu", "manual_seed", "datasets", "path", "train", "val", "logger"}
TOP |= {"dist_params", "find_unused_parameters"}
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


def check(options: Options, path: str, *, is_train: bool, force: Iterable[str] | None = None) -> None:
    """Raise UserError with one line per problem, "file:line: block:key: what and how to mend it".

    force: the `K:K=V` overrides that are already in the options; a problem of theirs stands in no line of the
    file.
    """
    problems = list(dict.fromkeys(_problems(options, is_train)))
    if not problems:
        tried = optimizers(), SCHEDULERS, entries(LOSS_REGISTRY), entries(METRIC_REGISTRY)
        own = set(declared(registered(MODEL_REGISTRY, options["model_type"])))
        problems = [Problem(*failure) for failure in rehearsal.failures(options, own, *tried)]
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


def declared(model: Any) -> dict[Keys, Key]:
    """The keys that a model declares in its `option_keys`, beside those that its source looks up."""
    return getattr(model, "option_keys", {})


def _problems(options: Options, is_train: bool) -> Iterator[Problem]:
    needed = ["name", "model_type", "datasets", "network_g", *(["train"] if is_train else [])]
    yield from (Problem((key,), "is missing") for key in needed if options.get(key) is None)
    yield from _wrong_names(options)
    blocks = ["datasets", *BLOCKS, *(key for key in options if key.startswith("network_"))]
    yield from (
        Problem((key,), "must be a block of keys") for key in blocks if not is_block(options.get(key, {}))
    )
    yield from _wrong_numbers(options, ())
    options = {key: value for key, value in options.items() if key not in blocks or is_block(value)}

    model = registered(MODEL_REGISTRY, options.get("model_type"))
    if options.get("model_type") is not None and model is None:
        yield unknown(("model_type",), options["model_type"], MODEL_REGISTRY.keys())
    read = keys_read(model) | set(declared(model)) if model else set()
    networks = [key for key in options if key.startswith("network_")]
    if is_train and ("network_d",) in read and not options.get("network_d"):
        yield Problem(("network_d",), f"is missing; {options['model_type']} needs it")
    yield from unknown_keys(options, (), TOP | set(networks) | {keys[0] for keys in read})
    for block, known in BLOCKS.items() if model else ():
        known = known | {keys[1] for keys in read if len(keys) > 1 and keys[0] == block}
        if block == "train" and ("train", "NAME_opt") in read:
            known |= {key for key in options.get(block) or {} if key.endswith("_opt")}
        if block == "path":
            known = known | {prefix + name for prefix in NETWORK_PATHS for name in networks}
            known |= {prefix + name.removeprefix("network_") for prefix in NETWORK_PATHS for name in networks}
        yield from unknown_keys(options.get(block) or {}, (block,), known)
    if model is not None and hasattr(
        model, "option_problems"
    ):  # a static method that yields a key path and a text
        yield from itertools.starmap(Problem, model.option_problems(options))
    if value_at(options, "logger", "wandb", "project"):
        if importlib.util.find_spec("wandb") is None:
            yield Problem(
                ("logger", "wandb"), "needs the package wandb: pip install wandb, or set project: ~"
            )
        if not value_at(options, "logger", "use_tb_logger"):
            yield Problem(("logger", "wandb"), "mirrors tensorboard; set use_tb_logger: true beside it")

    if is_train and "train" not in (options.get("datasets") or {}):
        yield Problem(("datasets",), "has no block train")
    for phase, dataset in (options.get("datasets") or {}).items():
        inner = {keys[2] for keys in read if len(keys) > 2 and keys[:2] == ("datasets", phase)}
        yield from dataset_problems(
            ("datasets", phase), dataset, is_train=is_train, scale=options.get("scale"), known=inner
        )
    yield from channel_problems(options)
    for name in networks:
        yield from _network_problems((name,), options[name] or {}, options.get("scale"))
    if is_train:
        yield from _train_problems(options.get("train") or {}, model, read)
    for name, block in (options.get("train") or {}).items():
        if name.startswith("optim_"):
            own = {keys[2] for keys in declared(model) if keys[:2] == ("train", name)}
            yield from _call_problems(("train", name), block, optimizers(), given={"params"}, extra=own)
        elif name == "scheduler":
            yield from _period_problems(block, options["train"])
            yield from _call_problems(("train", name), block, SCHEDULERS, given={"optimizer", "last_epoch"})
        elif name.endswith("_opt") and block is not None:
            yield from _call_problems(("train", name), block, entries(LOSS_REGISTRY))
    metrics = (options.get("val") or {}).get("metrics")
    if not is_block(metrics):
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
        ("val", "suffix"): value_at(options, "val", "suffix"),
    }
    datasets = options.get("datasets")
    for phase in datasets if isinstance(datasets, dict) else ():
        names["datasets", phase, "name"] = value_at(datasets, phase, "name")
    for keys, name in names.items():
        if name is not None and not (
            isinstance(name, str) and re.fullmatch(r"(?!\.*$)[^/\\\x00-\x1f]{1,100}", name)
        ):
            yield Problem(
                keys, f"is {name!r}; expected a word that can name a folder: no slash, not only dots"
            )


def _train_problems(train: Options, model: Any, read: set[Keys]) -> Iterator[Problem]:
    needed = ("optim_d", "gan_opt") if ("network_d",) in read else ()
    for key in ("total_iter", "optim_g", "scheduler", *needed):
        if train.get(key) is None:
            yield Problem(("train", key), "is missing")
    if not train.get("pixel_opt") and not train.get("perceptual_opt"):
        yield Problem(("train", "pixel_opt"), "is missing: there is no loss to train with")
    for name in ("optim_g", "optim_d"):
        optimizer = value_at(train, name, "type")
        if model and model.get_optimizer is BaseModel.get_optimizer and optimizer not in (None, "Adam"):
            text = (
                f"is {optimizer}, but {model.__name__} knows Adam only; model_type RestorationModel knows all"
            )
            yield Problem(("train", name, "type"), text)
    scheduler = str(value_at(train, "scheduler", "type"))
    foreign = scheduler in SCHEDULERS and SCHEDULERS[scheduler] not in vars(lr_scheduler).values()
    if model and model.setup_schedulers is BaseModel.setup_schedulers and foreign:
        text = f"is {scheduler}, which {model.__name__} does not know; model_type RestorationModel does"
        yield Problem(("train", "scheduler", "type"), text)


def _period_problems(scheduler: Any, train: Options) -> Iterator[Problem]:
    """BasicSR's restarts have no learning rate past their end."""
    if value_at(scheduler, "type") != "CosineAnnealingRestartLR":
        return
    periods, total_iter = value_at(scheduler, "periods"), train.get("total_iter")
    if fits(periods, Sequence[int]) and isinstance(total_iter, int) and sum(periods) < total_iter:
        text = (
            f"sum to {sum(periods)}, but total_iter is {total_iter}; past their end there is no learning rate"
        )
        yield Problem(("train", "scheduler", "periods"), f"{text}: make them as long")


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
    except (ValueError, TypeError, ArithmeticError, AssertionError) as error:
        yield Problem(keys, str(error))


def _call_problems(
    keys: Keys,
    block: Any,
    callables: dict[str, Callable],
    given: Iterable[str] = (),
    extra: Iterable[str] = (),
) -> Iterator[Problem]:
    """Problems of a block {type: name, argument: value, ...}; `given` arguments are passed by the caller."""
    if not isinstance(block, dict):
        yield Problem(keys, "must be a block of keys, the first of them type")
        return
    target = callables.get(str(block.get("type")))
    if target is None:
        yield unknown((*keys, "type"), block.get("type"), callables)
        return
    parameters = inspect.signature(target).parameters.values()
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - set(given)
    if all(p.kind != p.VAR_KEYWORD for p in parameters) or extra:
        yield from unknown_keys(block, keys, known | {"type"} | set(extra))
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
