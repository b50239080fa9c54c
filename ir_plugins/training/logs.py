"""The logs of a run: its log file and TensorBoard.  A full disk costs what cannot be logged, not the run."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger, get_time_str

from ..options.reading import Options
from .monitoring import started_writer


def unused_log(folder: str | Path, name: str) -> Path:
    """Where a run may log: no earlier start has taken it, not even one within this second.

    Args:
        folder: Of the run.
        name: Of the run, after "train_" or "test_".
    """
    stem, number = f"{name}_{get_time_str()}", 1
    while (file := Path(folder, f"{stem}{f'_{number}' if number > 1 else ''}.log")).exists():
        number += 1
    return file


def open_log(file: Path) -> logging.Logger:
    """BasicSR's logger, which writes to the screen and, on rank 0, to a file.

    Args:
        file: The log file; an older one is overwritten.

    Raises:
        OSError: It cannot be opened.
    """
    logger = get_root_logger(log_file=str(file))
    for handler in logger.handlers:
        handler.handleError = _Forgiving(logger, handler)
        if isinstance(handler, logging.FileHandler):
            # paths may hold characters that are no valid text
            handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return logger


class _Forgiving:
    """A handler's `handleError`: one warning if a disk is full, where logging writes a traceback per line.

    The handler keeps trying, and continues when there is room again.

    Args:
        logger: It has another handler that shows the warning.
        handler: The handler that fails.
    """

    def __init__(self, logger: logging.Logger, handler: logging.Handler):
        self.logger, self.otherwise, self.told = logger, handler.handleError, False
        self.file = getattr(handler, "baseFilename", "the screen")

    def __call__(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.otherwise(record)
        elif not self.told:
            self.told = True  # first: the warning comes here too
            text = f"{self.file}: the log is not complete: {error.strerror or error}; the run continues"
            self.logger.warning(text)


@contextlib.contextmanager
def tensorboard(opt: Options) -> Iterator["TensorBoard | None"]:
    """TensorBoard's writer while a run lasts; None if the options do not ask for it, or on other ranks.

    Args:
        opt: Options of the run.
    """
    board, hook = TensorBoard(str(Path(opt["root_path"], "tb_logger", opt["name"]))), threading.excepthook

    def ended(arguments: Any) -> None:
        # TensorBoard's thread hands its error on to the next call, and Python would print it too
        if type(arguments.thread).__module__.startswith("tensorboard."):
            board.end(arguments.exc_value)
        else:
            hook(arguments)

    threading.excepthook = ended
    try:
        try:
            board.writer = started_writer(opt)
        except OSError as error:
            board.end(error)
        yield board if board.writer or board.fault else None
    finally:
        board.close()
        threading.excepthook = hook


class TensorBoard:
    """A SummaryWriter that ends if its disk is full, while the run continues; the log says so once.

    Args:
        folder: Where it writes, for the log.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self.writer: Any = None
        self.fault: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            try:
                if self.writer is not None and self.fault is None:
                    getattr(self.writer, name)(*arguments, **options)
            except Exception as error:
                if not isinstance(error, OSError) and error is not self.fault:
                    raise
                self.end(error)

        return call

    def end(self, error: BaseException) -> None:
        """Write no more.

        Args:
            error: Why.
        """
        before, self.fault = self.fault, self.fault or error
        if before is None:
            reason = getattr(error, "strerror", None) or error
            get_root_logger().warning(f"{self.folder}: TensorBoard ends here: {reason}; the run continues")
