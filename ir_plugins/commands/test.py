"""`basicsr test`: restore and measure every val and test dataset of an option file."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import torch

from basicsr.models import build_model
from basicsr.utils import get_env_info, get_root_logger
from basicsr.utils.options import dict2str

from ..models.interface import trainable
from ..models.results import PictureResult, SetResult, first_fault
from ..options.reading import Options
from ..reports.opening import FileOnly, testing_opening
from ..reports.tables import remarks, summary, write_tables
from ..runtime.distributed import ending_together, wait_for_all
from ..runtime.errors import UserError
from ..runtime.machine import MEANING, device_name, versions
from ..runtime.output import lenient_output
from ..runtime.storage import sha256
from ..training.folders import locked, make_folders
from ..training.loaders import testing_loaders
from ..training.logs import open_log, unused_log
from ..training.preflight import prepare


def run(arguments: Namespace) -> None:
    with lenient_output():
        test(arguments)


def test(arguments: Namespace) -> None:
    """Restore and measure every val and test dataset.

    Args:
        arguments: See `preflight.prepare`.

    Raises:
        UserError: Another test of this name is running, or a picture could not be restored or measured; then
            all tables are written.
    """
    with ending_together(arguments):
        opt = prepare(arguments, is_train=False)
        with locked(opt):
            _test(opt)


def _test(opt: Options) -> None:
    torch.backends.cudnn.benchmark = True
    log_file = unused_log(opt["path"]["log"], f"test_{opt['name']}")
    if opt["rank"] == 0:
        make_folders(opt, log_file, fresh=True)
    wait_for_all()
    logger = open_log(log_file)
    file_only = FileOnly(logger)
    logger.info(get_env_info())
    logger.info(dict2str(opt))

    loaders: list[Any] = testing_loaders(opt)
    basicsr_model = build_model(opt)
    model, results = trainable(basicsr_model), []
    weights = _weights(opt)  # now: by the end the user may have put others there
    names = [loader.dataset.opt["name"] for loader in loaders]
    file_only.end()
    datasets = [loader.dataset for loader in loaders]
    logger.info(testing_opening(opt, model, datasets=datasets, log=log_file))
    for number, loader in enumerate(loaders, 1):
        logger.info(f"Testing {names[number - 1]}...")
        results.append(model.validation(loader, opt["name"], None, opt["val"]["save_img"]))
        # after each: a later one may fail
        _write_tables(opt, basicsr_model, results, weights, missing=names[number:])
    _finish(opt, results)


def _write_tables(
    opt: Options, model: Any, results: Sequence[SetResult], weights: str, *, missing: Sequence[str]
) -> None:
    pictures = _pictures(results)
    if opt["rank"] > 0 or pictures is None:
        return
    conditions = _conditions(opt, model, weights)
    if missing:
        conditions["not measured yet"] = ", ".join(missing)
    metrics = opt["val"].get("metrics") or {}
    write_tables(opt["path"]["results_root"], opt["name"], pictures, metrics, conditions)


def _pictures(results: Sequence[SetResult]) -> list[PictureResult] | None:
    """The pictures of all sets; None if the model reports means only."""
    if any(result.pictures is None for result in results):
        return None
    return [picture for result in results for picture in result.pictures or ()]


def _weights(opt: Options) -> str:
    """The files of weights with their digests, and which weights of them count."""
    named = {key: value for key, value in opt["path"].items() if value}
    files = [
        f"{value} (SHA-256 {sha256(value)[:16]})"
        for key, value in named.items()
        if key.startswith("pretrain_network")
    ]
    keys = [f"{key}: {value}" for key, value in named.items() if key.startswith("param_key")]
    return ", ".join([*files, *keys])


def _conditions(opt: Options, model: Any, weights: str) -> dict[str, str]:
    """Everything else that the figures depend on, beside metrics and pictures."""
    val = opt["val"]
    kind = next(model.net_g.parameters()).dtype
    rounded = "not rounded" if val.get("use_image") is False else f"rounded to {val.get('bits') or 8} bits"
    ranks = f" in each of {opt['world_size']} processes" if opt["world_size"] > 1 else ""
    left_out = {"name", "phase", "io_backend", "scale"}
    data = [
        f"{block['name']} ({', '.join(f'{k}: {v}' for k, v in block.items() if k not in left_out)})"
        for _, block in sorted(opt["datasets"].items())
    ]
    return {
        "weights": weights,
        "network": f"{opt['network_g']['type']}, scale {opt.get('scale') or 1}",
        "device": device_name(model.device) + ranks,
        "precision": f"{str(kind).removeprefix('torch.')}; pictures are measured {rounded}",
        "datasets": "; ".join(data),
        "peak MB": f"largest of all pictures, in 10^6 bytes: {MEANING[model.device.type]}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def _finish(opt: Options, results: Sequence[SetResult]) -> None:
    """Log the table.  Raises UserError if a picture could not be measured."""
    logger, folder, pictures = get_root_logger(), opt["path"]["results_root"], _pictures(results)
    if pictures is None:
        logger.info(f"{opt['model_type']} reports means only; RestorationModel also writes metrics.csv")
        return
    metrics = opt["val"].get("metrics") or {}
    lines = [f"Results of {opt['name']}:", summary(pictures, metrics), *remarks(pictures, metrics)]
    logger.info("\n".join(lines))
    logger.info(f"Tables: {folder}/metrics.csv, {folder}/metrics.md")
    if faults := [fault for result in results if (fault := first_fault(result.pictures or ()))]:
        raise UserError("\n".join(faults))
