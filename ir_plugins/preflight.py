"""Everything that can be known to fail is found here, before a folder is made or renamed."""

from argparse import Namespace
from pathlib import Path

import torch

from basicsr.utils import set_random_seed
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import LOSS_REGISTRY, MODEL_REGISTRY

from . import schema
from .checkpoints import check_fits, read_weights
from .data.checks import check_dataset
from .distributed import from_first_rank, gathered, is_first_here, start
from .errors import UserError
from .options import Options, complete, read_options
from .problems import registered, value_at

KINDS = {
    "pretrain_network": str,
    "param_key": str,
    "strict_load": bool,
}  # of `path:` keys, each with a net's name


def prepare(arguments: Namespace, *, is_train: bool) -> Options:
    """Options ready to run: read, checked against code, disk and device, completed, ranks started, seeds set.

    arguments: opt, force_yml, launcher, auto_resume, debug, as `basicsr train` and `basicsr test` take them.
    Raises UserError with one line per problem.
    """
    options = read_options(arguments.opt, arguments.force_yml)
    schema.check(options, arguments.opt, is_train=is_train, force=arguments.force_yml)
    options = complete(options, is_train=is_train, auto_resume=arguments.auto_resume, debug=arguments.debug)
    options = _translated(options)
    if not is_train:
        # the training data plays no part in a test, so a training file serves for testing too
        options["datasets"] = {k: v for k, v in options["datasets"].items() if v["phase"] != "train"}
        if not options["datasets"]:
            raise UserError(f"{arguments.opt}: datasets: nothing to test on; add a block test_1 or val")
    _check_devices(options, arguments.launcher)
    check_weights(options, arguments.opt)

    options["dist"] = arguments.launcher != "none"
    if options["dist"]:
        port = (options.get("dist_params") or {}).get("port")
        start(arguments.launcher, port, on_gpu=options["num_gpu"] != 0)
    options["rank"], options["world_size"] = get_dist_info()
    options["manual_seed"] = from_first_rank(options["manual_seed"])  # where each has drawn its own
    counts = {}
    if is_first_here():  # once on each machine: every picture is looked at, and two would fetch to one file
        if is_train:
            _fetch_losses(options["train"], arguments.opt)
        counts = {phase: check_dataset(f"datasets:{phase}", it) for phase, it in options["datasets"].items()}
    counts = gathered(counts)[0]
    if is_train and counts["train"] is not None:
        _check_batch(options, counts["train"])
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


def _check_batch(options: Options, count: int) -> None:
    train = options["datasets"]["train"]
    images = int(count * train.get("dataset_enlarge_ratio", 1))
    batches = value_at(options, "train", "progressive", "batch_sizes") or [train["batch_size_per_gpu"]]
    processes = options["world_size"] if options["dist"] else max(1, options["num_gpu"])
    batch = max(batches) * (options["train"].get("accumulate") or 1) * processes
    if images < batch:
        raise UserError(
            f"datasets:train: {images} images are fewer than one step's {batch}; "
            "lower batch_size_per_gpu or train:accumulate, or raise dataset_enlarge_ratio"
        )


def _check_devices(options: Options, launcher: str) -> None:
    wanted, there = options["num_gpu"], torch.cuda.device_count()
    if there == 0 and options["datasets"].get("train", {}).get("prefetch_mode") == "cuda":
        raise UserError("datasets:train:prefetch_mode: cuda needs a GPU, and none is visible; use ~")
    if (wanted > there) if launcher == "none" else (wanted > 0 and there == 0):
        found = f"only {there} visible" if there else "no GPU is visible"
        raise UserError(f"num_gpu: {wanted}, but {found}; use --force_yml num_gpu={there} or num_gpu=auto")


def _fetch_losses(train: Options, path: str) -> None:
    """Build once the losses that fetch weights: without them a run would fail after its folders are made."""
    losses = schema.entries(LOSS_REGISTRY)
    for key, block in train.items():
        kind = losses.get(str(block.get("type"))) if key.endswith("_opt") and block else None
        if getattr(kind, "fetches_weights", False):
            try:
                kind(**{name: value for name, value in block.items() if name != "type"})
            except ValueError as error:  # a UserError is one
                raise UserError(f"{path}: train:{key}: {error}") from error


def check_weights(options: Options, path: str) -> None:
    """Raise UserError, naming `path`, where the first weights are missing, damaged or of another network."""
    paths = options["path"]
    for key, value in paths.items():
        if not isinstance(value, KINDS.get(key.rpartition("_")[0], object) | None):
            raise UserError(f"{path}: path:{key}: {value!r} is not what stands there; see options/")
        if key.startswith("pretrain_network") and value is not None and not Path(value).is_file():
            raise UserError(f"{path}: path:{key}: no such file: {value}")
        if key == "pretrain_network_g" and value is not None:
            weights = read_weights(value, paths.get("param_key_g", "params"))
            net = schema.build_on_meta(options["network_g"])
            if net is not None and paths.get("strict_load_g", True):
                check_fits(value, weights, net)
    if not options["is_train"] and not paths.get("pretrain_network_g"):
        raise UserError(f"{path}: path:pretrain_network_g: no weights to test; name a net_g_*.pth")
