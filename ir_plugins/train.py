"""`basicsr train`: the pipeline.

BasicSR's own `train_pipeline` cannot resume without a GPU, makes folders before it looks at the data, and
goes on counting after the last iteration; its parts are used as they are.
"""

import datetime
import logging
import math
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from basicsr.data.prefetch_dataloader import CUDAPrefetcher
from basicsr.models import build_model
from basicsr.train import create_train_val_dataloader, init_tb_loggers
from basicsr.utils import (
    AvgTimer,
    MessageLogger,
    check_resume,
    get_env_info,
    get_root_logger,
    get_time_str,
    make_exp_dirs,
    mkdir_and_rename,
)
from basicsr.utils.options import copy_opt_file, dict2str

from .data.files import alone
from .errors import UserError
from .options import Options
from .preflight import check_weights, prepare


def train(arguments: Namespace) -> None:
    """Train as the option file says; see `preflight.prepare` for the arguments."""
    opt = prepare(arguments, is_train=True)
    state = _load_resume_state(opt)
    if state is None:
        _refuse_to_archive_weights(opt)
    if opt["rank"] != 0:
        _run(opt, state, arguments.opt)
        return
    experiments = Path(opt["path"]["experiments_root"]).parent
    experiments.mkdir(exist_ok=True)
    busy = f"experiments/{opt['name']} is being written by another run; wait for it, or choose another name"
    with alone(experiments / f".{opt['name']}.lock", busy):
        _run(opt, state, arguments.opt)


def _run(opt: Options, state: dict[str, Any] | None, option_file: str) -> None:
    torch.backends.cudnn.benchmark = True
    _make_folders(opt, option_file, resuming=state is not None)
    log_file = Path(opt["path"]["log"], f"train_{opt['name']}_{get_time_str()}.log")
    logger = get_root_logger(log_file=str(log_file))
    logger.info(get_env_info())
    logger.info(dict2str(opt))
    tb_logger = init_tb_loggers(opt)
    loader, sampler, val_loaders, _, total_iter = create_train_val_dataloader(opt, logger)
    model = build_model(opt)
    epoch = current_iter = 0
    if state:
        _resume(model, state, opt["path"]["resume_state"])
        epoch, current_iter = state["epoch"], state["iter"]
        logger.info(f"Resuming training from epoch: {epoch}, iter: {current_iter}.")

    validate_every = opt["val"]["val_freq"] if "val" in opt else total_iter + 1

    def validate() -> None:
        for val_loader in val_loaders:
            model.validation(val_loader, current_iter, tb_logger, opt["val"]["save_img"])

    message = MessageLogger(opt, current_iter, tb_logger)
    data_timer, iter_timer, start_time = AvgTimer(), AvgTimer(), time.time()
    # where there is no terminal the log lines are the progress
    bar = tqdm(total=total_iter, initial=current_iter, unit="iter", desc=opt["name"], disable=None)
    with bar, logging_redirect_tqdm([logging.getLogger("basicsr")]):
        while current_iter < total_iter:
            sampler.set_epoch(epoch)
            for batch in _batches(loader, opt):
                data_timer.record()
                current_iter += 1
                model.update_learning_rate(current_iter, warmup_iter=opt["train"].get("warmup_iter", -1))
                model.feed_data(batch)
                model.optimize_parameters(current_iter)
                iter_timer.record()
                bar.update()
                if current_iter % opt["logger"]["print_freq"] == 0:
                    timing = {"time": iter_timer.get_avg_time(), "data_time": data_timer.get_avg_time()}
                    progress = {
                        "epoch": epoch,
                        "iter": current_iter,
                        "lrs": model.get_current_learning_rate(),
                    }
                    message(progress | timing | model.get_current_log())
                if current_iter % opt["logger"]["save_checkpoint_freq"] == 0:
                    logger.info("Saving models and training states.")
                    model.save(epoch, current_iter)
                if current_iter % validate_every == 0:
                    validate()
                data_timer.start()
                iter_timer.start()
                if current_iter >= total_iter:
                    break
            epoch += 1

        logger.info(
            f"End of training. Time consumed: {datetime.timedelta(seconds=int(time.time() - start_time))}"
        )
        logger.info("Save the latest model.")
        model.save(epoch=-1, current_iter=-1)  # BasicSR's sign for net_g_latest.pth, without a training state
        if "val" in opt and current_iter % validate_every:
            validate()
    if tb_logger:
        tb_logger.close()


def _load_resume_state(opt: Options) -> dict[str, Any] | None:
    """The training state to go on from, None to begin anew."""
    path = opt["path"]["resume_state"]
    if opt["auto_resume"]:
        states = Path(opt["path"]["training_states"]).glob("*.state")
        path = max((f for f in states if f.stem.isdigit()), key=lambda file: int(file.stem), default=path)
    if path is None:
        return None
    opt["path"]["resume_state"] = str(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        iteration, _, _, _ = (state[key] for key in ("iter", "epoch", "optimizers", "schedulers"))
    except FileNotFoundError as error:
        raise UserError(f"path:resume_state: no such file: {path}") from error
    except Exception as error:  # torch reports damage as several unrelated exception classes
        raise UserError(
            f"{path}: damaged, or not a training state; remove it to resume from the one before"
        ) from error
    check_resume(opt, iteration)
    weights = Path(opt["path"]["pretrain_network_g"])
    if not weights.is_file():
        raise UserError(
            f"{path}: the weights that belong to it are missing: {weights}; "
            "remove it to resume from the one before"
        )
    check_weights(opt, str(path))
    return state


def _resume(model, state: dict[str, Any], path: str) -> None:
    try:
        model.resume_training(state)
        for optimizer in model.optimizers:
            # torch loads the state of any optimizer, and fails at the first step if it was another kind's
            if missing := set(optimizer.defaults) - set(optimizer.param_groups[0]):
                raise ValueError(f"it holds no {', '.join(sorted(missing))}")
        for scheduler in model.schedulers:
            # the state brings its own periods, whatever the option file says by now
            end = getattr(scheduler, "cumulative_period", [math.inf])[-1]
            if end < model.opt["train"]["total_iter"]:
                raise ValueError(
                    f"its schedule ends at {end}; begin a new run with its weights to train longer"
                )
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: does not fit train:optim_g or train:scheduler: {error}") from error


def _refuse_to_archive_weights(opt: Options) -> None:
    """A new run moves an older one of its name away: not while it holds the weights to begin with."""
    root = Path(opt["path"]["experiments_root"])
    for key, value in opt["path"].items():
        if key.startswith("pretrain_network") and value and root.resolve() in Path(value).resolve().parents:
            raise UserError(
                f"path:{key}: {value} lies in {root}, which a new run named {opt['name']} archives; "
                "choose another name, or --auto_resume to go on with that run"
            )


def _make_folders(opt: Options, option_file: str, *, resuming: bool) -> None:
    if not resuming:
        make_exp_dirs(opt)
        if opt["logger"]["use_tb_logger"] and opt["rank"] == 0:
            mkdir_and_rename(str(Path(opt["root_path"], "tb_logger", opt["name"])))
    root = Path(opt["path"]["experiments_root"])
    for folder in ("experiments_root", "models", "training_states", "visualization"):
        Path(opt["path"][folder]).mkdir(
            parents=True, exist_ok=True
        )  # resuming under another name starts without
    if Path(option_file).resolve().parent != root.resolve():  # resuming with the copy made last time
        copy_opt_file(option_file, str(root))


def _batches(loader, opt: Options) -> Iterator[dict[str, Any]]:
    """The batches of an epoch; BasicSR's CUDAPrefetcher where `prefetch_mode: cuda` asks for it."""
    if opt["datasets"]["train"].get("prefetch_mode") != "cuda":
        # not BasicSR's CPUPrefetcher, which starts the workers twice
        yield from loader
        return
    prefetcher = CUDAPrefetcher(loader, opt)
    batch = prefetcher.next()
    while batch is not None:
        yield batch
        batch = prefetcher.next()
