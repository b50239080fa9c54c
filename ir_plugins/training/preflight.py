"""Find everything that is bound to fail, before a folder is made or renamed."""

import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from basicsr.utils import set_random_seed
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from ..archs.building import build_on_meta
from ..checks import option_file
from ..checks.rehearsal import fetches, try_metric
from ..data.checks import check_dataset
from ..options.basicsr_keys import with_whole_numbers
from ..options.problems import Problem, reason, report, value_at
from ..options.reading import Options, complete, read_options, read_text
from ..options.registries import entries, registered
from ..options.signatures import Keys
from ..runtime.distributed import from_first_rank, gathered, is_first_here, start
from ..runtime.errors import UserError
from ..runtime.plugins import is_foreign, load_plugins
from ..weights.announced import HoldsCode, OtherTensors
from ..weights.archives import BadArchive, check
from ..weights.fetching import Absent, fetch
from ..weights.files import check_fits, read_weights
from .monitoring import wandb_problems

MOST_PICTURES_PER_EPOCH = 10**8  # their order is drawn in memory


def prepare(arguments: Namespace, *, is_train: bool) -> Options:
    """Read and check the options, start the ranks, set the seeds.

    Quick checks come first: the option file against the code, the device and the weights, every picture of
    the datasets.

    Args:
        arguments: opt, force_yml, plugin, launcher, auto_resume and debug, as `basicsr train` and
            `basicsr test` have them; `text` becomes what the option file held.
        is_train: Whether to train; else to test.

    Returns:
        Complete options.

    Raises:
        UserError: One line for each problem.
    """
    load_plugins(arguments.plugin)
    source = arguments.opt, arguments.force_yml  # for messages
    options, absent = _checked_options(arguments, is_train=is_train)
    problems = [*_device_problems(options, arguments.launcher), *_weight_problems(options)]
    options["dist"] = arguments.launcher != "none"
    if options["dist"]:
        report(problems, *source)
        port = (options.get("dist_params") or {}).get("port")
        start(arguments.launcher, port, on_gpu=options["num_gpu"] != 0)
    options["rank"], options["world_size"] = get_dist_info()
    if len(set(gathered(arguments.text))) > 1:
        raise UserError(f"{arguments.opt}: was changed while the ranks read it; start again")
    options["manual_seed"] = from_first_rank(options["manual_seed"])  # each rank may have drawn its own
    counts: dict[str, int | None] = {}
    if is_first_here():  # once per machine: it reads every picture, and two ranks would download to one file
        for phase, data in options["datasets"].items():
            try:
                counts[phase] = check_dataset(f"datasets:{phase}", data)
            except UserError as error:
                problems += map(_as_problem, str(error).splitlines())
        report(problems, *source)
        if is_train and options["rank"] == 0:
            report(wandb_problems(options), *source)
        report(_fetching_problems(options, absent), *source)
    counts = gathered(counts)[0]
    if is_train and counts["train"] is not None:
        report(_batch_problems(options, counts["train"]), *source)
    set_random_seed(options["manual_seed"] + options["rank"])
    return options


def _checked_options(arguments: Namespace, *, is_train: bool) -> tuple[Options, list[tuple[Keys, Absent]]]:
    """The options, checked, completed and with the pipeline's keys, and the weights that must be fetched."""
    source = arguments.opt, arguments.force_yml
    # once: while pictures are checked, the user may edit the file for the next run
    arguments.text = read_text(arguments.opt)
    options = read_options(*source, text=arguments.text)
    absent = option_file.check(options, arguments.opt, is_train=is_train, force=arguments.force_yml)
    options = with_whole_numbers(options)
    options = complete(options, is_train=is_train, auto_resume=arguments.auto_resume, debug=arguments.debug)
    options = _translated(options)
    if not is_train:
        # a test does not need the training data, so a training file serves for testing too
        options["datasets"] = {k: v for k, v in options["datasets"].items() if v["phase"] != "train"}
        if not options["datasets"]:
            text = "nothing to test on; add a block test_1 or val"
            report([Problem(("datasets",), text)], *source)
        absent = [(keys, file) for keys, file in absent if keys[0] != "train"]
    return options, absent


def _translated(options: Options) -> Options:
    """The options with the model's own keys translated to the pipeline's."""
    model = registered(MODEL_REGISTRY, options["model_type"])
    if hasattr(model, "translated"):
        options = model.translated(options)
    if patch_sizes := value_at(options, "train", "progressive", "patch_sizes"):
        options["datasets"]["train"]["gt_size"] = max(patch_sizes)
    return options


def _as_problem(line: str) -> Problem:
    """A line of `data.checks`, which begins with its key path, as a Problem."""
    key, _, text = line.partition(": ")
    return Problem(tuple(key.split(":")), text)


def _batch_problems(options: Options, count: int) -> Iterator[Problem]:
    train, keys = options["datasets"]["train"], ("datasets", "train")
    images = int(count * train.get("dataset_enlarge_ratio", 1))
    batches = value_at(options, "train", "progressive", "batch_sizes") or [train["batch_size_per_gpu"]]
    processes = options["world_size"] if options["dist"] else max(1, options["num_gpu"])
    batch = max(batches) * (options["train"].get("accumulate") or 1) * processes
    if images < batch:
        yield Problem(
            keys,
            f"{images} images are fewer than one step's {batch}; "
            "lower batch_size_per_gpu or train:accumulate, or raise dataset_enlarge_ratio",
        )
    if images > MOST_PICTURES_PER_EPOCH:
        most = f"{MOST_PICTURES_PER_EPOCH:,}"
        text = f"makes {images:,} images of {count:,}, more than the {most} that an epoch may have"
        yield Problem((*keys, "dataset_enlarge_ratio"), f"{text}; lower it")


def _device_problems(options: Options, launcher: str) -> Iterator[Problem]:
    wanted, there = options["num_gpu"], torch.cuda.device_count()
    if there == 0 and options["datasets"].get("train", {}).get("prefetch_mode") == "cuda":
        keys = ("datasets", "train", "prefetch_mode")
        yield Problem(keys, "cuda needs a GPU, and none is visible; use ~")
    if (wanted > there) if launcher == "none" else (wanted > 0 and there == 0):
        found = f"only {there} visible" if there else "no GPU is visible"
        yield Problem(("num_gpu",), f"{wanted}, but {found}; use --force_yml num_gpu={there} or num_gpu=auto")


def _fetching_problems(options: Options, absent: list[tuple[Keys, Absent]]) -> Iterator[Problem]:
    """Fetch the weights of losses and metrics, and try these: no run may fail after it has made folders."""
    for keys, file in absent:
        try:
            if not file.path.is_file():  # of two that need it the first has fetched it
                fetch(file)
        except UserError as error:
            yield Problem(keys, str(error))
            return
    blocks: list[tuple[Keys, Options, Callable, Callable]] = []
    if options["is_train"]:
        known = entries(LOSS_REGISTRY)
        losses = {key: block for key, block in options["train"].items() if key.endswith("_opt") and block}
        kinds = {key: known.get(str(block.get("type"))) for key, block in losses.items()}
        blocks += [
            (("train", key), losses[key], kind, _build) for key, kind in kinds.items() if fetches(kind)
        ]
    for key, block in (value_at(options, "val", "metrics") or {}).items():
        kind = entries(METRIC_REGISTRY).get(str(block.get("type")))
        if getattr(kind, "rehearse", None):
            blocks.append((("val", "metrics", key), block, kind, try_metric))
    for keys, block, kind, attempt in blocks:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the run itself shows them
                attempt(
                    kind, {name: value for name, value in block.items() if name not in ("type", "better")}
                )
        except Exception as error:  # damaged weights, or whatever a foreign class makes of them
            yield Problem(keys, reason(error))


def _build(kind: Callable, arguments: Options) -> None:
    kind(**arguments)


def check_weights(options: Options, path: str) -> None:
    """Check the weights that a run begins with.

    Args:
        options: The whole file's, complete.
        path: The training state that the weights belong to, for the message.

    Raises:
        UserError: Weights are missing, damaged or of another network.
    """
    if problem := next(_weight_problems(options), None):
        raise UserError(f"{path}: {':'.join(problem.keys)}: {problem.text}")


def _check_file(options: Options, label: str, file: str) -> None:
    """Raise UserError if a file cannot become the weights of network_LABEL."""
    paths, block = options["path"], options.get(f"network_{label}")
    keys = {paths.get(f"param_key_{label}", "params")}
    if label == "g" and value_at(options, "train", "ema_decay"):
        keys.add("params_ema")  # a model loads its average from the same file
    net = build_on_meta(block) if block else None
    for key in sorted(keys, key=str):
        weights = read_weights(file, key)
        if net is not None:
            check_fits(file, weights, net, strict=bool(paths.get(f"strict_load_{label}", True)))


def _weight_problems(options: Options) -> Iterator[Problem]:
    paths = options["path"]
    for key, value in paths.items():
        # with auto_resume the newest state counts, wherever the named one has gone
        named = key.startswith("pretrain_network") or (key == "resume_state" and not options["auto_resume"])
        if named and value is not None and not Path(value).is_file():
            yield Problem(("path", key), f"no such file: {value}")
        elif key.startswith("pretrain_network_") and value is not None:
            try:
                _check_file(options, key.removeprefix("pretrain_network_"), value)
            except UserError as error:
                yield Problem(("path", key), str(error))
    yield from _own_file_problems(options)
    if not options["is_train"] and not paths.get("pretrain_network_g"):
        yield Problem(("path", "pretrain_network_g"), "no weights to test; name a net_g_*.pth")


def _own_file_problems(options: Options) -> Iterator[Problem]:
    """Look for damage in the weight files that networks and losses read themselves, who do not.

    A plugin's class may read whatever else it likes, such as TorchScript.
    """
    kinds = entries(LOSS_REGISTRY) | entries(ARCH_REGISTRY)
    blocks: dict[tuple[str, ...], Any] = {
        ("train", key): value for key, value in (options.get("train") or {}).items()
    }
    blocks |= {(key,): value for key, value in options.items() if key.startswith("network_")}
    for keys, block in blocks.items():
        for key, value in block.items() if isinstance(block, dict) else ():
            if isinstance(value, str) and value.endswith((".pth", ".pt")) and Path(value).is_file():
                try:
                    check(value)
                except (BadArchive, OSError) as error:
                    other = isinstance(error.__cause__, HoldsCode | OtherTensors)
                    if not (other and is_foreign(kinds.get(str(block.get("type")), object))):
                        yield Problem((*keys, key), f"{value}: {error}")
