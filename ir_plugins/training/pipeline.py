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
from basicsr.utils import get_env_info, get_root_logger, get_time_str, make_exp_dirs, mkdir_and_rename
from basicsr.utils.options import copy_opt_file, dict2str

from ..models.interface import TrainableModel, trainable
from ..options.reading import Options
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
from ..runtime.locks import alone
from ..runtime.storage import numbered_states
from .loaders import train_loader, validation_loaders
from .monitoring import tensorboard
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
        state, notes = _agreed_state(opt)
        if state and "seed" in state and opt.get("draws_seed"):
            opt["manual_seed"] = state["seed"]
        if state is None:
            _refuse_to_archive_weights(opt)
        with _locked(opt):
            _train(opt, state, notes, arguments.opt)


def _train(opt: Options, state: dict[str, Any] | None, notes: list[str], option_file: str) -> None:
    _be_deterministic(bool(opt["train"].get("deterministic")))
    _prepare_folders(opt, state, option_file)
    log_file = Path(opt["path"]["log"], f"train_{opt['name']}_{get_time_str()}.log")
    logger = get_root_logger(log_file=str(log_file))
    file_only = FileOnly(logger)
    logger.info(get_env_info())
    logger.info(dict2str(opt))
    for note in notes:
        logger.warning(f"{note}; resuming from the one before")
    writer = tensorboard(opt)
    tb_logger = _TensorBoard(writer) if writer else None
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
    with Interruption() as interruption, logging_redirect_tqdm([logging.getLogger("basicsr")]):
        Run(opt, model, val_loaders, tb_logger, state, interruption).train(loader, order)
    if tb_logger:
        tb_logger.close()


def _prepare_folders(opt: Options, state: dict[str, Any] | None, option_file: str) -> None:
    """Make, archive and clear the run's folders, on rank 0 while the others wait."""
    launches = [name for name in gathered(launch()) if name]  # waits until all ranks have looked for states
    if opt["rank"] == 0:
        # an earlier start without a checkpoint left nothing to archive
        has_states = any(Path(opt["path"]["training_states"]).glob("*.state"))
        fresh = state is None and (has_states or not opt["auto_resume"])
        _make_folders(opt, option_file, resuming=not fresh)
        _clear(opt, state)
        if launches:
            _launches(opt).write_text("\n".join(launches))
    wait_for_all()


def _launches(opt: Options) -> Path:
    """The file that lists the torchruns that have started the run in this folder, a line each."""
    return Path(opt["path"]["experiments_root"], ".launches")


def _was_restarted(opt: Options) -> bool:
    """Whether the torchrun of this process has started the run before; it then resumes by itself."""
    file = _launches(opt)
    return on_any_rank(file.is_file() and launch() in file.read_text().splitlines())


def _agreed_state(opt: Options) -> tuple[dict[str, Any] | None, list[str]]:
    """`find_state` of rank 0: on a network file system the others may not see the newest state yet."""
    if opt["rank"] == 0:
        found = find_state(opt)
        from_first_rank(opt["path"]["resume_state"])
        return found
    opt["path"]["resume_state"], opt["auto_resume"] = from_first_rank(None), False
    with contextlib.redirect_stdout(None):  # BasicSR prints what it resumes from
        return find_state(opt)


class _TensorBoard:
    """A SummaryWriter that stops if its disk is full, while the run continues; the log says so once."""

    def __init__(self, writer: Any):
        self.writer = writer

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            try:
                if self.writer is not None:
                    getattr(self.writer, name)(*arguments, **options)
            except OSError as error:
                self.writer = None
                get_root_logger().warning(f"TensorBoard ends here: {error.strerror or error}")

        return call


def _resume(model: TrainableModel, state: dict[str, Any], path: str) -> None:
    check_fits_run(state, model, path)  # of models whose optimizers could not be built before
    try:
        model.resume_training(state)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: does not fit train:optim_g or train:scheduler: {error}") from error


def _clear(opt: Options, state: dict[str, Any] | None) -> None:
    """Remove half-written files of a killed process; rename states that are later than the resumed one."""
    folders = [Path(opt["path"][key]) for key in ("experiments_root", "models", "training_states")]
    for part in [*(file for folder in folders for file in folder.glob(".*.part"))]:
        part.unlink(missing_ok=True)
    if state is None:
        return
    for ahead in numbered_states(opt["path"]["training_states"]):
        if int(ahead.stem) > state["iter"]:
            # else --auto_resume would later continue from them
            ahead.replace(ahead.with_name(f"{ahead.name}.old"))


def _locked(opt: Options) -> contextlib.AbstractContextManager:
    """Keep other runs of this name from writing; rank 0 holds the lock."""
    if opt["rank"] != 0:
        return contextlib.nullcontext()
    experiments = Path(opt["path"]["experiments_root"]).parent
    experiments.mkdir(exist_ok=True)
    busy = f"experiments/{opt['name']} is being written by another run; wait for it, or choose another name"
    return alone(experiments / f".{opt['name']}.lock", busy)


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
        if key.startswith("pretrain_network") and value and root.resolve() in Path(value).resolve().parents:
            raise UserError(
                f"path:{key}: {value} lies in {root}, which a new run named {opt['name']} archives; "
                "choose another name, or --auto_resume to continue that run"
            )


def _make_folders(opt: Options, option_file: str, *, resuming: bool) -> None:
    if not resuming:
        make_exp_dirs(opt)
        if opt["logger"]["use_tb_logger"]:
            mkdir_and_rename(str(Path(opt["root_path"], "tb_logger", opt["name"])))
    root = Path(opt["path"]["experiments_root"])
    for folder in ("experiments_root", "models", "training_states", "visualization"):
        # a run that resumes under another name has none yet
        Path(opt["path"][folder]).mkdir(parents=True, exist_ok=True)
    if Path(option_file).resolve().parent != root.resolve():  # else it is the copy of an earlier run
        copy_opt_file(option_file, str(root))
