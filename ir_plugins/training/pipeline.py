"""The pipeline of `basicsr train`.

BasicSR's own `train_pipeline` cannot resume without a GPU or in the middle of an epoch, makes folders before
it checks the data, and counts past the last iteration.  This one uses its parts.
"""

import contextlib
import logging
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from basicsr.models import build_model
from basicsr.utils import get_env_info
from basicsr.utils.options import dict2str

from ..models.interface import TrainableModel, trainable
from ..options.reading import OptionFile, Options
from ..reports.opening import ON_SCREEN, FileOnly, schedule_warnings, training_opening
from ..runtime.distributed import (
    ending_together,
    from_first_rank,
    gathered,
    launch,
    on_any_rank,
    wait_for_all,
)
from ..runtime.errors import UserError
from ..runtime.interruption import Interruption
from ..runtime.regular import MOST_TEXT, read_regular, real
from ..runtime.storage import numbered_states, written_whole
from .folders import clear, locked, make_folders
from .loaders import train_loader, validation_loaders
from .logs import open_log, tensorboard, unused_log
from .preflight import prepare
from .run import Run
from .states import check_fits_run, find_state


def train(arguments: Namespace) -> None:
    """Run a training.

    Args:
        arguments: See `preflight.prepare`.

    Raises:
        UserError: The user's mistakes.
        Stopped: After SIGTERM or Ctrl-C, with everything saved.
    """
    with ending_together(arguments):
        opt = prepare(arguments, is_train=True)
        opt["auto_resume"] = opt["auto_resume"] or _was_restarted(opt)
        before = numbered_states(opt["path"]["training_states"])
        state, notes = _agreed_state(opt)
        if state and "seed" in state and opt.get("draws_seed"):
            opt["manual_seed"] = state["seed"]
        if state is None:
            _refuse_to_archive_weights(opt)
        with locked(opt):
            if opt["rank"] == 0 and numbered_states(opt["path"]["training_states"]) != before:
                raise UserError(f"experiments/{opt['name']} was written by another run just now; start again")
            _train(opt, state, notes, OptionFile(arguments.opt, arguments.text))


def _train(opt: Options, state: dict[str, Any] | None, notes: list[str], option_file: OptionFile) -> None:
    _be_deterministic(bool(opt["train"].get("deterministic")))
    log_file = unused_log(opt["path"]["log"], f"train_{opt['name']}")
    _prepare_folders(opt, state, option_file, log_file)
    logger = open_log(log_file)
    file_only = FileOnly(logger)
    logger.info(get_env_info())
    logger.info(dict2str(opt))
    for note in notes:
        logger.warning(f"{note}; resuming from the one before")
    val_loaders = validation_loaders(opt)
    model = trainable(build_model(opt))
    if state:
        _resume(model, state, opt["path"]["resume_state"])
        text = f"Resuming training from epoch: {state['epoch']}, iter: {state['iter']}."
        logger.info(text, extra=ON_SCREEN)
    loader, order = train_loader(opt, state)
    file_only.end()
    start = f"resumed at iteration {state['iter']:,} of {opt['path']['resume_state']}" if state else "new run"
    datasets, stages = [order.dataset, *(one.dataset for one in val_loaders)], order.plan.stages
    logger.info(training_opening(opt, model, stages=stages, datasets=datasets, start=start, log=log_file))
    for warning in schedule_warnings(opt["train"]):
        logger.warning(warning)
    with (
        Interruption() as interruption,
        logging_redirect_tqdm([logging.getLogger("basicsr")]),
        tensorboard(opt) as tb_logger,
    ):
        Run(opt, model, val_loaders, tb_logger, state, interruption).train(loader, order)


def _prepare_folders(
    opt: Options, state: dict[str, Any] | None, option_file: OptionFile, log_file: Path
) -> None:
    """Make, archive and clear the run's folders, on rank 0 while the others wait."""
    launches = [name for name in gathered(launch()) if name]  # waits until all ranks have looked for states
    if opt["rank"] == 0:
        # a start that was killed before its first state leaves one weight file at most: nothing to archive
        has_states = any(Path(opt["path"]["training_states"]).glob("*.state"))
        has_weights = len([*Path(opt["path"]["models"]).glob("net_g_*.pth")]) > 1
        fresh = state is None and (has_states or has_weights or not opt["auto_resume"])
        make_folders(opt, log_file, option_file, fresh=fresh)
        clear(opt, state)
        if launches:
            with written_whole(_launches(opt)) as file:
                file.write(os.fsencode("\n".join(launches)))
    wait_for_all()


def _launches(opt: Options) -> Path:
    """The file that lists the torchruns that have started the run in this folder, a line each."""
    return Path(opt["path"]["experiments_root"], ".launches")


def _was_restarted(opt: Options) -> bool:
    """Whether the torchrun of this process has started the run before; it then resumes by itself."""
    file = _launches(opt)
    return on_any_rank(file.is_file() and launch() in os.fsdecode(read_regular(file, MOST_TEXT)).split("\n"))


def _agreed_state(opt: Options) -> tuple[dict[str, Any] | None, list[str]]:
    """`find_state` of rank 0: on a network file system the others may not see the newest state yet."""
    if opt["rank"] == 0:
        found = find_state(opt)
        from_first_rank(opt["path"]["resume_state"])
        return found
    opt["path"]["resume_state"], opt["auto_resume"] = from_first_rank(None), False
    with contextlib.redirect_stdout(None):  # BasicSR prints what it resumes from
        return find_state(opt)


def _resume(model: TrainableModel, state: dict[str, Any], path: str) -> None:
    check_fits_run(state, model, path)  # of models whose optimizers could not be built before
    try:
        model.resume_training(state)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: does not fit train:optim_g or train:scheduler: {error}") from error


def _be_deterministic(wanted: bool) -> None:
    """Let torch choose deterministic algorithms, or the fastest ones.

    On a GPU the fastest ones are chosen by time in each process, and some add numbers in any order.
    """
    torch.backends.cudnn.benchmark = not wanted
    torch.use_deterministic_algorithms(wanted)
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _refuse_to_archive_weights(opt: Options) -> None:
    """Raise UserError if a new run would archive the folder that holds its own initial weights."""
    root = Path(opt["path"]["experiments_root"])
    for key, value in opt["path"].items():
        if key.startswith("pretrain_network") and value and real(root) in real(value).parents:
            raise UserError(
                f"path:{key}: {value} lies in {root}, which a new run named {opt['name']} archives; "
                "choose another name, or --auto_resume to continue that run"
            )
