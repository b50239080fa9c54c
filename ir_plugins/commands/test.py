"""`basicsr test`: the pipeline."""

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from basicsr.utils import get_env_info, get_root_logger, get_time_str, make_exp_dirs
from basicsr.utils.options import dict2str

from ..models.rows import told_faults
from ..options.reading import Options
from ..reports.tables import remarks, table, write_tables
from ..runtime.distributed import ending_together, wait_for_all
from ..runtime.errors import UserError
from ..runtime.machine import MEANING, device_name, versions
from ..training.preflight import prepare


def run(arguments: Namespace) -> None:
    test(arguments)


def test(arguments: Namespace) -> None:
    """Restore and measure every val and test dataset; see `preflight.prepare` for the arguments.

    Raises UserError, with all tables written, where a picture could not be restored or measured.
    """
    with ending_together(arguments):
        _test(prepare(arguments, is_train=False))


def _test(opt: Options) -> None:
    torch.backends.cudnn.benchmark = True
    make_exp_dirs(opt)  # rank 0 does
    wait_for_all()
    log_file = Path(opt["path"]["log"], f"test_{opt['name']}_{get_time_str()}.log")
    logger = get_root_logger(log_file=str(log_file))
    logger.info(get_env_info())
    logger.info(dict2str(opt))

    loaders = []
    for _, dataset_opt in sorted(opt["datasets"].items()):
        dataset = _in_order(build_dataset(dataset_opt))
        loaders.append(build_dataloader(dataset, dataset_opt, num_gpu=opt["num_gpu"], dist=opt["dist"]))
        logger.info(f"Number of test images in {dataset_opt['name']}: {len(dataset)}")
    model = build_model(opt)
    left = [loader.dataset.opt["name"] for loader in loaders]
    for loader in loaders:
        logger.info(f"Testing {left.pop(0)}...")
        model.validation(loader, current_iter=opt["name"], tb_logger=None, save_img=opt["val"]["save_img"])
        # after each: a later one may fail
        _write_tables(opt, model, left)
    _tell(opt, model)


def _in_order(dataset: Any) -> Any:
    """A dataset whose pictures come in the order of their names; BasicSR's have that of the file system."""
    if hasattr(dataset, "groups"):  # one of ours, which has sorted both
        return dataset
    if isinstance(paths := getattr(dataset, "paths", None), list) and paths and isinstance(paths[0], dict):
        paths.sort(key=itemgetter("gt_path"))
    return dataset


def _write_tables(opt: Options, model: Any, left: Sequence[str]) -> None:
    if opt["rank"] > 0 or not hasattr(model, "rows"):  # BasicSR's models know means alone
        return
    rows = [row for rows in model.rows.values() for row in rows]
    how = _how(opt, model)
    if left:
        how["not measured yet"] = ", ".join(left)
    metrics = opt["val"].get("metrics") or {}
    write_tables(opt["path"]["results_root"], opt["name"], rows, metrics, how)


def _how(opt: Options, model: Any) -> dict[str, str]:
    """What the figures depend on beside metrics and pictures."""
    path, val = opt["path"], opt["val"]
    files = {
        key: f"{path[key]} (SHA-256 {hashlib.sha256(Path(path[key]).read_bytes()).hexdigest()[:16]})"
        for key in path
        if key.startswith("pretrain_network") and path[key]
    }
    keys = {key: path[key] for key in path if key.startswith("param_key") and path[key]}
    kind = next(model.net_g.parameters()).dtype
    rounded = "not rounded" if val.get("use_image") is False else f"rounded to {val.get('bits') or 8} bits"
    ranks = f" in each of {opt['world_size']} processes" if opt["world_size"] > 1 else ""
    left_out = {"name", "phase", "io_backend", "scale"}
    data = [
        f"{block['name']} ({', '.join(f'{k}: {v}' for k, v in block.items() if k not in left_out)})"
        for _, block in sorted(opt["datasets"].items())
    ]
    return {
        "weights": ", ".join([*files.values(), *(f"{key}: {value}" for key, value in keys.items())]),
        "network": f"{opt['network_g']['type']}, scale {opt.get('scale') or 1}",
        "device": device_name(model.device) + ranks,
        "precision": f"{str(kind).removeprefix('torch.')}; pictures are measured {rounded}",
        "datasets": "; ".join(data),
        "peak MB": f"largest of all pictures, in 10^6 bytes: {MEANING[model.device.type]}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def _tell(opt: Options, model: Any) -> None:
    """The table for the terminal.  Raises UserError where a picture could not be measured."""
    logger, folder = get_root_logger(), opt["path"]["results_root"]
    if not hasattr(model, "rows"):
        logger.info(f"{opt['model_type']} tells means alone; RestorationModel also writes metrics.csv")
        return
    rows, metrics = [row for rows in model.rows.values() for row in rows], opt["val"].get("metrics") or {}
    logger.info("\n".join([f"Results of {opt['name']}:", table(rows, metrics), *remarks(rows, metrics)]))
    logger.info(f"Tables: {folder}/metrics.csv, {folder}/metrics.md")
    if faults := [text for found in model.rows.values() if (text := told_faults(found))]:
        raise UserError("\n".join(faults))
