"""Read option files, apply overrides of the command line, and add what BasicSR's pipelines expect.

BasicSR's own parser starts distributed training before it reads the file, evaluates code from `--force_yml`,
and keeps `2e-4` as a string.  `checks/` checks what this module reads.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from basicsr.utils.registry import METRIC_REGISTRY

from ..runtime.errors import UserError
from ..runtime.regular import MOST_OPTIONS, read_regular
from .parsing import MOST_LEVELS, NOWHERE, compose, parsed, problem_of, shown, unprintable
from .signatures import Keys

Options = dict[str, Any]
MOST_OVERRIDES = 1000  # of one command line


class OptionFile(NamedTuple):
    """An option file as it was when it was read.

    Args:
        path: The file.
        text: Its bytes.
    """

    path: str
    text: bytes


def read_text(path: str) -> bytes:
    """The bytes of an option file.

    Args:
        path: The file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return read_regular(path, MOST_OPTIONS)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such option file; paths are relative to {Path.cwd()}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as an option file: {reason}") from error


def read_options(path: str, force: list[str] | None = None, *, text: bytes | None = None) -> Options:
    """Read an option file and apply overrides.

    Args:
        path: The file.
        force: Overrides `K:K=V`, each V read as YAML.
        text: What the file held when it was read; default: what it holds now.

    Raises:
        UserError: Naming file and line.
    """
    options = _parsed(path, read_text(path) if text is None else text, parsed)
    if not isinstance(options, dict):
        raise UserError(f"{path}: an option file is a mapping of keys to values, this one is not")
    if len(force or []) > MOST_OVERRIDES:
        raise UserError(f"--force_yml: {len(force or []):,} overrides; at most {MOST_OVERRIDES:,} are read")
    keys = [_override(options, entry) for entry in force or []]
    if force and isinstance(datasets := options.get("datasets"), dict):
        left_out = {phase for phase, block in datasets.items() if block is None and phase != "train"}
        if options.get("val") is None and ("val",) in keys:
            left_out |= {phase for phase in datasets if phase.split("_")[0] == "val"}
        # datasets:test_4=~ leaves out a test set that the user does not have, val=~ all validation
        options["datasets"] = {phase: block for phase, block in datasets.items() if phase not in left_out}
    return options


def key_lines(path: str) -> Callable[[Keys], int]:
    """A function that finds the line of a key, or of the nearest block above it; 0 if the file has neither.

    Args:
        path: The option file.

    Returns:
        The function; it takes the keys from the top of the file.
    """
    top = _parsed(path, read_text(path), compose)

    def line_of(keys: Keys) -> int:
        node, line = top, 0
        for key in keys:
            entries = node.value if isinstance(node, yaml.MappingNode) else []
            found = next(((k, v) for k, v in entries if k.value == key), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    return line_of


# BasicSR takes higher values of all its metrics for better ones
BASICSRS_BETTER = {"calculate_niqe": "lower"}


def complete(options: Options, *, is_train: bool, auto_resume: bool = False, debug: bool = False) -> Options:
    """Add the keys that BasicSR looks up; every path that a run writes lies below the current directory.

    Args:
        options: The whole file's; they stay as they are.
        is_train: Whether to train, or to test.
        auto_resume: Whether to continue from the newest training state.
        debug: Whether to log, save and validate often.

    Raises:
        UserError: The current directory's name cannot be written.
    """
    root = str(Path.cwd())
    if (character := unprintable(root)) is not None:
        raise UserError(f"the current directory {root!a} holds {character}, {NOWHERE}; rename it")
    options = dict(options, is_train=is_train, auto_resume=auto_resume, root_path=root)
    if options.get("manual_seed") is None:
        # a resumed run takes the seed of its training state
        options |= {"manual_seed": random.randint(1, 10000), "draws_seed": True}
    if debug and not options["name"].startswith("debug"):
        options["name"] = f"debug_{options['name']}"
    if options.get("num_gpu", "auto") == "auto":
        # one process drives one GPU, for more BasicSR would use DataParallel; --launcher uses them all
        options["num_gpu"] = min(1, torch.cuda.device_count())

    options["datasets"] = {phase: dict(dataset) for phase, dataset in options["datasets"].items()}
    for phase, dataset in options["datasets"].items():
        dataset["phase"] = phase.split("_")[0]
        dataset.setdefault("name", phase)
        if "scale" in options:
            dataset["scale"] = options["scale"]
        if dataset.get("prefetch_mode") == "cpu":
            dataset["prefetch_mode"] = None  # its thread hangs on an unreadable image; workers prefetch too
        for key in dataset:
            if key.startswith("dataroot") and isinstance(dataset[key], str):
                dataset[key] = str(Path(dataset[key]).expanduser())

    logger = {"print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": False}
    options["logger"] = logger | (options.get("logger") or {})
    if options.get("val") is None:
        options.pop("val", None)
    if "val" in options or not is_train:
        val = {"val_freq": options["logger"]["save_checkpoint_freq"], "save_img": False, "suffix": None}
        options["val"] = val | (options.get("val") or {})
        if metrics := options["val"].get("metrics"):
            options["val"]["metrics"] = {name: _with_better(block) for name, block in metrics.items()}
    if debug:
        options["logger"] |= {"print_freq": 1, "save_checkpoint_freq": 8}
        if "val" in options:
            options["val"]["val_freq"] = 8
    options["path"] = _paths(options, is_train)
    return options


def _with_better(metric: Options) -> Options:
    """The block of a metric, with the metric's own `better` unless the block has one."""
    kinds = {name: getattr(kind, "better", None) for name, kind in METRIC_REGISTRY} | BASICSRS_BETTER
    better = kinds.get(metric["type"])
    # BasicSR would take an empty `better` for lower
    given = {key: value for key, value in metric.items() if key != "better" or value is not None}
    return ({"better": better} if better else {}) | given


def _paths(options: Options, is_train: bool) -> Options:
    given = {"resume_state": None} | (options.get("path") or {})
    for key, value in given.items():
        if isinstance(value, str) and ("resume_state" in key or "pretrain_network" in key):
            given[key] = str(Path(value).expanduser())
    if not is_train:
        root = Path(options["root_path"], "results", options["name"])
        return given | {
            "results_root": str(root),
            "log": str(root),
            "visualization": str(root / "visualization"),
        }
    root = Path(options["root_path"], "experiments", options["name"])
    folders = {name: str(root / name) for name in ("models", "training_states", "visualization")}
    return given | {"experiments_root": str(root), "log": str(root)} | folders


def _override(options: Options, entry: str) -> Keys:
    """Apply one `K:K=V` of --force_yml; V is read as YAML, so numbers, lists and null keep their type."""
    text, separator, value = entry.partition("=")
    keys = tuple(key.strip() for key in text.split(":"))
    said = f"--force_yml {shown(entry)}"
    if not separator or not keys[-1]:
        raise UserError(f"{said}: expected KEY:KEY=VALUE, for example train:ema_decay=0.999")
    if len(keys) > MOST_LEVELS:
        raise UserError(f"{said}: KEY:KEY has more than {MOST_LEVELS} keys")
    if (character := unprintable(text)) is not None:
        raise UserError(f"{said}: KEY:KEY holds {character}, {NOWHERE}")
    try:
        new = parsed(value)
    except yaml.YAMLError as error:
        raise UserError(f"{said}: the value is not valid YAML: {problem_of(error)}") from error
    for key in keys[:-1]:
        if options.get(key) is None:
            options[key] = {}
        if not isinstance(options[key], dict):
            raise UserError(f"{said}: '{shown(key)}' is a value, not a block")
        options = options[key]
    if len(keys) == 1 and value == os.path.expanduser("~"):
        new = None  # the shell has read val=~ as the home folder; no such key holds a path
    # BasicSR writes none for ~; in these two keys `none` is a value
    options[keys[-1]] = None if new == "none" and keys[-1] not in ("attention", "dataroot_lq") else new
    return keys


def _parsed(path: str, text: bytes, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as an option file: {error}; save it as UTF-8") from error
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as an option file: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise UserError(f"{where}: not valid YAML: {problem_of(error)}") from error
