"""TensorBoard and Weights & Biases: BasicSR starts them; this finds out before a run whether it can."""

import importlib
from collections.abc import Iterator
from typing import Any

from basicsr.train import init_tb_loggers

from ..options.problems import Problem, reason, value_at
from ..options.reading import Options
from ..runtime.errors import UserError

_WAYS = "run `wandb login`, set WANDB_MODE=offline, or set project: ~"


def wandb_problems(options: Options) -> Iterator[Problem]:
    """Log in to Weights & Biases if the run needs it; a person at a terminal is asked for the key.

    Args:
        options: The whole file's, checked, so the package is there.
    """
    if not _uses_wandb(options):
        return
    try:
        importlib.import_module("wandb").login()
    except Exception as error:  # its classes cannot be named without the package
        yield Problem(("logger", "wandb"), f"no login to Weights & Biases: {reason(error)}; {_WAYS}")


def started_writer(opt: Options) -> Any:
    """BasicSR's SummaryWriter, mirrored to Weights & Biases if the options say so; None if there is none.

    Args:
        opt: Options of the run.

    Raises:
        UserError: Weights & Biases cannot start.
    """
    try:
        return init_tb_loggers(opt)
    except Exception as error:
        if not _uses_wandb(opt):
            raise
        text = f"logger:wandb: Weights & Biases cannot start: {reason(error)}; {_WAYS}"
        raise UserError(text) from error


def _uses_wandb(options: Options) -> bool:
    return bool(value_at(options, "logger", "wandb", "project")) and "debug" not in options["name"]
