"""Read option files, apply overrides of the command line, and add what BasicSR's pipelines expect.

BasicSR's own parser starts distributed training before it reads the file, evaluates code from `--force_yml`,
and keeps `2e-4` as a string.  `checks/` checks what this module reads.
"""

import json
import random
import re
from pathlib import Path
from typing import Any

import torch
import yaml

from basicsr.utils.registry import METRIC_REGISTRY

from ..runtime.errors import UserError

Options = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `2e-4` as a number, as YAML 1.2 does, and refuses a key given twice."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                self._refuse("a key must be a word", key)
            if key.value in seen:
                self._refuse(f"key '{key.value}' is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _refuse(self, text: str, node: yaml.Node) -> None:
        raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_options(path: str, force: list[str] | None = None) -> Options:
    """Read an option file and apply overrides.

    Args:
        path: The file.
        force: Overrides `K:K=V`, each V read as YAML.

    Raises:
        UserError: Naming file and line.
    """
    text = _read_text(path)
    try:
        options = yaml.load(text, _Loader)
        json.dumps(options, default=str)  # refuses a block that contains itself
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise UserError(f"{where}: not valid YAML: {_said(error)}") from error
    except (ValueError, RecursionError) as error:  # !!int abc, for example
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(options, dict):
        raise UserError(f"{path}: an option file is a mapping of keys to values, this one is not")
    for entry in force or []:
        _override(options, entry)
    if force and isinstance(datasets := options.get("datasets"), dict):
        # datasets:test_4=~ leaves out a test set that the user does not have
        kept = {phase: block for phase, block in datasets.items() if block is not None or phase == "train"}
        options["datasets"] = kept
    return options


def line_of(path: str, keys: tuple[str, ...]) -> int:
    """The line of a key, or of the nearest block above it; 0 if the file has neither.

    Args:
        path: The option file.
        keys: From the top of the file.
    """
    node, line = yaml.compose(_read_text(path), _Loader), 0
    for key in keys:
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in entries if k.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


# BasicSR takes higher values of all its metrics for better ones
BASICSRS_BETTER = {"calculate_niqe": "lower"}


def complete(options: Options, *, is_train: bool, auto_resume: bool = False, debug: bool = False) -> Options:
    """Add the keys that BasicSR looks up; every path that a run writes lies below the current directory.

    Args:
        options: The whole file's; they stay as they are.
        is_train: Whether to train, or to test.
        auto_resume: Whether to continue from the newest training state.
        debug: Whether to log, save and validate often.
    """
    options = dict(options, is_train=is_train, auto_resume=auto_resume, root_path=str(Path.cwd()))
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


def _override(options: Options, entry: str) -> None:
    """Apply one `K:K=V` of --force_yml; V is read as YAML, so numbers, lists and null keep their type."""
    keys, separator, text = entry.partition("=")
    *blocks, last = (key.strip() for key in keys.split(":"))
    if not separator or not last:
        raise UserError(f"--force_yml {entry}: expected KEY:KEY=VALUE, for example train:ema_decay=0.999")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"--force_yml {entry}: the value is not valid YAML") from error
    for block in blocks:
        if not isinstance(options.setdefault(block, {}), dict):
            raise UserError(f"--force_yml {entry}: '{block}' is a value, not a block")
        options = options[block]
    # BasicSR writes none for ~; in these two keys `none` is a value
    options[last] = None if value == "none" and last not in ("attention", "dataroot_lq") else value


def _said(error: yaml.YAMLError) -> str:
    return " ".join((getattr(error, "problem", None) or str(error)).split())


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such option file; paths are relative to {Path.cwd()}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as an option file: {error}") from error
