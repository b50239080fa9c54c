"""Everything that can be known to fail is found here, before a folder is made or renamed."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch

from basicsr.utils import set_random_seed
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import LOSS_REGISTRY, MODEL_REGISTRY

from ..archs.building import build_on_meta
from ..checks import option_file
from ..data.checks import check_dataset
from ..options.basicsr_keys import with_whole_numbers
from ..options.problems import Problem, report, value_at
from ..options.reading import Options, complete, read_options
from ..options.registries import entries, registered
from ..runtime.distributed import from_first_rank, gathered, is_first_here, start
from ..runtime.errors import UserError
from ..runtime.plugins import load_plugins
from ..weights.files import check_fits, read_weights

MOST_PICTURES = 10**8  # of an epoch, whose order is drawn in memory


def prepare(arguments: Namespace, *, is_train: bool) -> Options:
    """Options ready to run: read, checked against code, disk and device, completed, ranks started, seeds set.

    Args:
        arguments: opt, force_yml, plugin, launcher, auto_resume, debug, as `basicsr train` and `basicsr test`
            take them.
        is_train: Whether the run trains; otherwise it tests.

    Raises:
        UserError: One line per problem.
    """
    load_plugins(arguments.plugin)
    told = arguments.opt, arguments.force_yml
    options = read_options(*told)
    option_file.check(options, arguments.opt, is_train=is_train, force=arguments.force_yml)
    options = with_whole_numbers(options)
    options = complete(options, is_train=is_train, auto_resume=arguments.auto_resume, debug=arguments.debug)
    options = _translated(options)
    if not is_train:
        # the training data plays no part in a test, so a training file serves for testing too
        options["datasets"] = {k: v for k, v in options["datasets"].items() if v["phase"] != "train"}
        if not options["datasets"]:
            text = "nothing to test on; add a block test_1 or val"
            report([Problem(("datasets",), text)], *told)
    problems = [*_device_problems(options, arguments.launcher), *_weight_problems(options)]

    options["dist"] = arguments.launcher != "none"
    if options["dist"]:
        report(problems, *told)
        port = (options.get("dist_params") or {}).get("port")
        start(arguments.launcher, port, on_gpu=options["num_gpu"] != 0)
    options["rank"], options["world_size"] = get_dist_info()
    options["manual_seed"] = from_first_rank(options["manual_seed"])  # where each has drawn its own
    counts: dict[str, int | None] = {}
    if is_first_here():  # once on each machine: every picture is looked at, and two would fetch to one file
        for phase, data in options["datasets"].items():
            try:
                counts[phase] = check_dataset(f"datasets:{phase}", data)
            except UserError as error:
                problems += map(_as_problem, str(error).splitlines())
        report(problems, *told)
        if is_train:
            report(_fetch_losses(options["train"]), *told)
    counts = gathered(counts)[0]
    if is_train and counts["train"] is not None:
        report(_batch_problems(options, counts["train"]), *told)
    set_random_seed(options["manual_seed"] + options["rank"])
    return options


def _translated(options: Options) -> Options:
    """The options in the words of the pipeline, whatever words the model has for them."""
    model = registered(MODEL_REGISTRY, options["model_type"])
    if hasattr(model, "translated"):
        options = model.translated(options)
    if patch_sizes := value_at(options, "train", "progressive", "patch_sizes"):
        options["datasets"]["train"]["gt_size"] = max(patch_sizes)
    return options


def _as_problem(line: str) -> Problem:
    """An error that begins with its key path, as `data.checks` writes it."""
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
    if images > MOST_PICTURES:
        text = f"makes {images:,} images of {count:,}, more than the {MOST_PICTURES:,} that an epoch may have"
        yield Problem((*keys, "dataset_enlarge_ratio"), f"{text}; lower it")


def _device_problems(options: Options, launcher: str) -> Iterator[Problem]:
    wanted, there = options["num_gpu"], torch.cuda.device_count()
    if there == 0 and options["datasets"].get("train", {}).get("prefetch_mode") == "cuda":
        keys = ("datasets", "train", "prefetch_mode")
        yield Problem(keys, "cuda needs a GPU, and none is visible; use ~")
    if (wanted > there) if launcher == "none" else (wanted > 0 and there == 0):
        found = f"only {there} visible" if there else "no GPU is visible"
        yield Problem(("num_gpu",), f"{wanted}, but {found}; use --force_yml num_gpu={there} or num_gpu=auto")


def _fetch_losses(train: Options) -> Iterator[Problem]:
    """Build once the losses that fetch weights: without them a run would fail after its folders are made."""
    losses = entries(LOSS_REGISTRY)
    for key, block in train.items():
        kind = losses.get(str(block.get("type"))) if key.endswith("_opt") and block else None
        if getattr(kind, "fetches_weights", False):
            try:
                kind(**{name: value for name, value in block.items() if name != "type"})
            except ValueError as error:  # a UserError is one
                yield Problem(("train", key), str(error))


def check_weights(options: Options, path: str) -> None:
    """Raise UserError, naming `path`, where the first weights are missing, damaged or of another network.

    options: those of the whole file, as `complete` leaves them.
    """
    if problem := next(_weight_problems(options), None):
        raise UserError(f"{path}: {':'.join(problem.keys)}: {problem.text}")


def _weight_problems(options: Options) -> Iterator[Problem]:
    paths = options["path"]
    for key, value in paths.items():
        # with auto_resume the newest state counts, wherever the first one has gone
        named = key.startswith("pretrain_network") or (key == "resume_state" and not options["auto_resume"])
        if named and value is not None and not Path(value).is_file():
            yield Problem(("path", key), f"no such file: {value}")
        elif key == "pretrain_network_g" and value is not None:
            try:
                weights = read_weights(value, paths.get("param_key_g", "params"))
                net = build_on_meta(options["network_g"])
                if net is not None and paths.get("strict_load_g", True):
                    check_fits(value, weights, net)
            except UserError as error:
                yield Problem(("path", key), str(error))
    if not options["is_train"] and not paths.get("pretrain_network_g"):
        yield Problem(("path", "pretrain_network_g"), "no weights to test; name a net_g_*.pth")
