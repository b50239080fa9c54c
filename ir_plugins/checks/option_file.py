"""Check every key of an option file against the code that reads it.

The arguments of networks, losses, metrics, optimizers and schedulers come from their signatures.  The keys
that models and datasets of BasicSR look up are found in their source, so a plugin's classes are known as soon
as they are registered.  `options/basicsr_keys.py` lists the values that BasicSR's own keys take.
"""

import importlib.util
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

from basicsr.models import lr_scheduler
from basicsr.models.base_model import BaseModel
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from ..options.basicsr_keys import ARGUMENTS, BETTER, KEYS, NETWORK_PATHS, with_whole_numbers
from ..options.dataset_blocks import dataset_problems
from ..options.problems import (
    MOST_REPORTED,
    Key,
    Problem,
    declared_problems,
    is_block,
    report,
    short,
    unknown,
    unknown_keys,
    value_at,
)
from ..options.reading import Options
from ..options.registries import SCHEDULERS, entries, optimizers, registered
from ..options.signatures import Keys, argument_kind, arguments, fits, keys_read
from ..runtime.names import name_fault
from ..weights.fetching import Absent, offline
from . import rehearsal
from .memory import batch_problems
from .networks import network_problems

BLOCKS = ("path", "train", "val", "logger", "dist_params")
FOLDERS = {"models", "training_states", "visualization"}  # of `path:`, where a run writes: never in a file
COLUMNS = ("dataset", "group", "image", "height", "width", "seconds", "peak_mb")  # of metrics.csv
FOLDER_NAMES = {("name",), ("val", "suffix")}  # `_wrong_names` checks them, and the names of datasets
# arguments that the pipeline passes, so that no option file may
TO_OPTIMIZERS, TO_SCHEDULERS, TO_METRICS = ("params",), ("optimizer", "last_epoch"), ("img", "img2")


def check(
    options: Options, path: str, *, is_train: bool, force: Iterable[str] | None = None
) -> list[tuple[Keys, Absent]]:
    """Check an option file.

    Args:
        options: The whole file.
        path: Its path, for messages.
        is_train: Whether the file is for training, or for a test.
        force: The `K:K=V` overrides that are already in the options.

    Returns:
        The weights of losses and metrics that are not in the cache, and what needs them.

    Raises:
        UserError: One line for each problem, see `problems.report`.
    """
    absent: list[tuple[Keys, Absent]] = []
    with offline():
        problems = list(itertools.islice(_problems(options, is_train), MOST_REPORTED + 1))
        problems = problems or list(batch_problems(options))
        if not problems:
            tried = optimizers(), SCHEDULERS, entries(LOSS_REGISTRY), entries(METRIC_REGISTRY)
            own = set(declared_by(registered(MODEL_REGISTRY, options["model_type"])))
            for keys, failure in rehearsal.failures(options, own, *tried):
                if isinstance(failure, Absent):
                    absent.append((keys, failure))
                else:
                    problems.append(Problem(keys, failure))
    report(problems, path, force)
    return absent


def declared_by(model: Any) -> dict[Keys, Key]:
    """The keys that a model's class declares in its `option_keys`; others are found in its source."""
    return getattr(model, "option_keys", {})


def keys_of_block(model: Any, block: str) -> set[str]:
    """The keys that a block may have.

    Args:
        model: The model's class.
        block: One of BLOCKS.
    """
    read = set(KEYS) | keys_read(model) | set(declared_by(model))
    known = {keys[1] for keys in read if len(keys) > 1 and keys[0] == block}
    return known - FOLDERS if block == "path" else known


def argument_key(target: Callable, parameter: inspect.Parameter) -> Key:
    """The values that an argument takes.

    Args:
        target: The class or function.
        parameter: The argument; its annotation counts, or ARGUMENTS if BasicSR or torch wrote the target.
    """
    foreign = target.__module__.split(".")[0] in ("basicsr", "torch")
    if foreign and parameter.name in ARGUMENTS:
        return ARGUMENTS[parameter.name]
    return Key(argument_kind(parameter), "", empty=False)


def _problems(options: Options, is_train: bool) -> Iterator[Problem]:
    options = with_whole_numbers(options)
    needed = ["name", "model_type", "datasets", "network_g", *(["train"] if is_train else [])]
    missing = {(key,) for key in needed if options.get(key) is None}
    yield from (Problem((key,), "is missing") for key in needed if (key,) in missing)
    yield from _wrong_names(options)
    blocks = ["datasets", *BLOCKS, *(key for key in options if key.startswith("network_"))]
    yield from (
        Problem((key,), "must be a block of keys") for key in blocks if not is_block(options.get(key, {}))
    )
    options = {key: value for key, value in options.items() if key not in blocks or is_block(value)}
    judged = {keys: key for keys, key in KEYS.items() if keys not in FOLDER_NAMES | missing}
    yield from declared_problems(options, judged)

    model = registered(MODEL_REGISTRY, options.get("model_type"))
    if options.get("model_type") is not None and model is None:
        yield unknown(("model_type",), options["model_type"], MODEL_REGISTRY.keys())
    read: Set[Keys] = keys_read(model) | set(declared_by(model)) if model else set()
    networks = [key for key in options if key.startswith("network_")]
    if is_train and ("network_d",) in read and not options.get("network_d"):
        yield Problem(("network_d",), f"is missing; {options['model_type']} needs it")
    known = {keys[0] for keys in KEYS.keys() | read} | {"datasets", *networks}
    yield from unknown_keys(options, (), known)
    if model is not None:
        yield from _block_problems(options, model, networks)
    if model is not None and hasattr(model, "option_problems"):
        yield from itertools.starmap(Problem, model.option_problems(options))
    yield from _wandb_problems(options)

    datasets = options.get("datasets") or {}
    if is_train and datasets and "train" not in datasets:
        yield Problem(("datasets",), "has no block train")
    for phase, dataset in datasets.items():
        inner = {keys[2] for keys in read if len(keys) > 2 and keys[:2] == ("datasets", phase)}
        yield from dataset_problems(
            ("datasets", phase), dataset, is_train=is_train, scale=options.get("scale"), known=inner
        )
        if is_train and phase.startswith("val") and options.get("val") is None:
            yield Problem(("val",), f"is missing; datasets:{phase} needs it, such as val: {{val_freq: 5000}}")
    for name in networks:
        if options[name] is not None:
            yield from _network_problems((name,), options)
    if train := options.get("train"):
        yield from _train_problems(train, model, read, is_train)
    yield from _metric_problems(value_at(options, "val", "metrics"))


def _block_problems(options: Options, model: Any, networks: list[str]) -> Iterator[Problem]:
    """Unknown keys of the blocks that BasicSR's pipelines and the model read."""
    for block in BLOCKS:
        given, known = options.get(block) or {}, keys_of_block(model, block)
        if block == "train" and ("train", "NAME_opt") in declared_by(model):
            known |= {key for key in given if key.endswith("_opt") and key != "_opt"}
        if block == "path":
            for prefix, key in NETWORK_PATHS.items():
                names = {prefix + name for name in networks}
                names |= {prefix + name.removeprefix("network_") for name in networks}
                known |= names
                yield from declared_problems(options, {("path", name): key for name in names})
        yield from unknown_keys(given, (block,), known)


def _wandb_problems(options: Options) -> Iterator[Problem]:
    if value_at(options, "logger", "wandb", "project"):
        if importlib.util.find_spec("wandb") is None:
            yield Problem(
                ("logger", "wandb"), "needs the package wandb: pip install wandb, or set project: ~"
            )
        if not value_at(options, "logger", "use_tb_logger"):
            yield Problem(("logger", "wandb"), "mirrors tensorboard; set use_tb_logger: true beside it")


def _wrong_names(options: Options) -> Iterator[Problem]:
    """Names that cannot be the name of a folder or file, and names of datasets given twice."""
    names: dict[Keys, Any] = {
        ("name",): options.get("name"),
        ("val", "suffix"): value_at(options, "val", "suffix"),
    }
    datasets = options.get("datasets")
    for phase, block in datasets.items() if isinstance(datasets, dict) else ():
        given = value_at(block, "name")  # a set without a name is called like its block
        if given is not None:
            names["datasets", phase, "name"] = given
        elif re.match("val|test", phase):
            names["datasets", phase] = phase
    taken: set[str] = set()
    for keys, name in names.items():
        if name is None or (keys, name) == (("val", "suffix"), ""):
            continue
        if not isinstance(name, str) or (fault := name_fault(name)) is not None:
            fault = fault if isinstance(name, str) else "a word that can name a folder"
            yield Problem(keys, f"is {short(name)}; expected {fault}")
        elif keys[0] == "datasets" and keys[1] != "train":
            if name in taken:
                yield Problem(keys, f"is {name!r}, as another set's is; their figures would be mixed up")
            taken.add(name)


def _train_problems(train: Options, model: Any, read: Set[Keys], is_train: bool) -> Iterator[Problem]:
    needed = ("optim_d", "gan_opt") if ("network_d",) in read else ()
    for key in ("total_iter", "optim_g", "scheduler", *needed) if is_train else ():
        if train.get(key) is None and not (key in train and ("train", key) in KEYS):
            yield Problem(("train", key), "is missing")
    if is_train and not train.get("pixel_opt") and not train.get("perceptual_opt"):
        yield Problem(("train", "pixel_opt"), "is missing: there is no loss to train with")
    for name, block in train.items():
        keys = ("train", name)
        if name.startswith("optim_"):
            yield from _optimizer_problems(keys, block, model)
        elif name == "scheduler":
            yield from _scheduler_problems(keys, block, model, train.get("total_iter"))
        elif name.endswith("_opt") and block is not None:
            yield from _call_problems(keys, block, entries(LOSS_REGISTRY))


def _optimizer_problems(keys: Keys, block: Any, model: Any) -> Iterator[Problem]:
    kind = value_at(block, "type")
    if model and model.get_optimizer is BaseModel.get_optimizer and kind not in (None, "Adam"):
        text = f"is {kind}, but {model.__name__} knows Adam only; model_type RestorationModel knows all"
        yield Problem((*keys, "type"), text)
    own = {path[2] for path in declared_by(model) if path[:2] == keys}
    yield from _call_problems(keys, block, optimizers(), TO_OPTIMIZERS, own)
    if isinstance(block, dict) and "lr" not in block:
        yield Problem((*keys, "lr"), "is missing")


def _scheduler_problems(keys: Keys, block: Any, model: Any, total_iter: Any) -> Iterator[Problem]:
    kind = str(value_at(block, "type"))
    foreign = kind in SCHEDULERS and SCHEDULERS[kind] not in vars(lr_scheduler).values()
    if model and model.setup_schedulers is BaseModel.setup_schedulers and foreign:
        text = f"is {kind}, which {model.__name__} does not know; model_type RestorationModel does"
        yield Problem((*keys, "type"), text)
    yield from _call_problems(keys, block, SCHEDULERS, TO_SCHEDULERS)
    periods = value_at(block, "periods")
    whole = fits(periods, Sequence[int]) and isinstance(total_iter, int)
    # BasicSR's restarts have no learning rate past their end
    if kind == "CosineAnnealingRestartLR" and whole and sum(periods) < total_iter:
        text = (
            f"sum to {sum(periods)}, but total_iter is {total_iter}; past their end there is no learning rate"
        )
        yield Problem((*keys, "periods"), f"{text}: make them as long")


def _network_problems(keys: Keys, options: Options) -> Iterator[Problem]:
    found = list(_call_problems(keys, options[keys[0]], entries(ARCH_REGISTRY)))
    yield from found or network_problems(keys, options)


def _metric_problems(metrics: Any) -> Iterator[Problem]:
    for name, block in (metrics or {}).items() if is_block(metrics) else ():
        keys = ("val", "metrics", name)
        if name in COLUMNS or not re.fullmatch(r"\w[\w.@-]*", name):
            yield Problem(
                keys, f"cannot be a column of metrics.csv; expected a word other than {', '.join(COLUMNS)}"
            )
        yield from _call_problems(keys, block, entries(METRIC_REGISTRY), TO_METRICS, ("better",))
        if fault := BETTER.fault(value_at(block, "better")):
            yield Problem((*keys, "better"), fault)


def _call_problems(
    keys: Keys,
    block: Any,
    callables: dict[str, Callable],
    given: Sequence[str] = (),
    extra: Iterable[str] = (),
) -> Iterator[Problem]:
    """Problems of a block {type: name, argument: value, ...}.

    Args:
        keys: Where it stands.
        block: The block.
        callables: The classes and functions that `type` may name.
        given: Arguments that the caller passes itself.
        extra: Keys that the block may hold beside the arguments.
    """
    if not isinstance(block, dict):
        yield Problem(keys, "must be a block of keys, the first of them type")
        return
    target = callables.get(str(block.get("type")))
    if target is None:
        yield unknown((*keys, "type"), block.get("type"), callables)
        return
    taken = arguments(target, given)
    open_ended = any(p.kind == p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    if not open_ended or extra:
        yield from unknown_keys(block, keys, {"type", *taken, *extra})
    for name, parameter in taken.items():
        if name in block and (fault := argument_key(target, parameter).fault(block[name])):
            yield Problem((*keys, name), fault)
        elif name not in block and parameter.default is parameter.empty:
            yield Problem((*keys, name), f"is missing; {block['type']} needs it")
