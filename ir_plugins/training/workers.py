"""The batches of a training, and one line about a data worker that dies."""

import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from torch.utils.data.dataloader import _BaseDataLoaderIter

from ..runtime.errors import UserError
from ..runtime.shortages import shared_memory

FEWER = "lower datasets:train:num_worker_per_gpu"
SHOWS = "find it with datasets:train:num_worker_per_gpu=0"


@contextmanager
def batches_of(loader: Iterable[Any], cut_off: Callable[[], str] = str) -> Iterator[Iterator[Any]]:
    """Start a loader's workers and end them.

    Args:
        loader: A DataLoader, or any other collection of batches.
        cut_off: Says which data file was cut short while it was read; empty if none was.

    Yields:
        Its batches.

    Raises:
        UserError: A worker died.
    """
    batches = _Batches(loader, cut_off)
    try:
        yield batches
    except RuntimeError as error:
        batches.blame(error)
        raise
    finally:
        batches.end()


class _Batches(Iterator[Any]):
    """A loader's batches; a worker's death is an error where a batch is taken, and nowhere else.

    torch's handler of SIGCHLD raises in the middle of anything, such as saving.  Elsewhere a death shows as a
    broken connection, a batch that cannot be unpickled, or nothing.
    """

    def __init__(self, loader: Iterable[Any], cut_off: Callable[[], str]):
        self._cut_off = cut_off
        self._waiting, self._news, self._at_end, self._handler = False, True, False, None
        self._workers: list[Any] = []
        try:
            self._batches = iter(loader)
        except BaseException as error:
            _end_half_started(error)
            raise
        self._workers = list(getattr(self._batches, "_workers", ()))
        if self._workers and hasattr(signal, "SIGCHLD") and callable(signal.getsignal(signal.SIGCHLD)):
            with suppress(ValueError):  # not the main thread
                self._handler = signal.signal(signal.SIGCHLD, self._child_ended)

    def __next__(self) -> Any:
        try:
            self._waiting = True
            if self._news:
                self._news = False
                self._look()
            return next(self._batches)
        except StopIteration:
            self._at_end = True
            raise
        except UserError:
            raise
        except Exception as error:
            self.blame(error)
            raise
        finally:
            self._waiting = False

    def blame(self, error: Exception) -> None:
        """Raise UserError if a worker's death explains an error."""
        text = str(error)
        # the worker's own error, or one after the last batch, when all workers have ended
        if self._at_end or "in DataLoader worker process" in text:
            return
        deadline = time.monotonic() + 1
        while self._workers and time.monotonic() < deadline:
            if any(worker.exitcode is not None for worker in self._workers):
                break
            time.sleep(0.02)
        self._look(error)
        if "DataLoader worker" in text:
            found = re.search(r"killed by signal: ([^.]+)|exit code (\d+)", text)
            raise UserError(_line(f"a data worker died{f' ({found[0]})' if found else ''}", SHOWS)) from error

    def end(self) -> None:
        """End the workers now: they ignore the signal by which an exiting interpreter ends its children."""
        with suppress(RuntimeError, OSError):
            getattr(self._batches, "_shutdown_workers", lambda: None)()
        for worker in self._workers:
            if worker.is_alive():  # stuck in a file system that does not answer
                worker.kill()
                worker.join()
        if self._handler is not None:
            signal.signal(signal.SIGCHLD, self._handler)

    def _child_ended(self, number: int, frame: FrameType | None) -> None:
        self._news = True
        if self._waiting and callable(self._handler):
            self._handler(number, frame)

    def _look(self, error: Exception | None = None) -> None:
        """Raise UserError if a worker is dead."""
        codes = [worker.exitcode for worker in self._workers]
        dead = [code for code in codes if code is not None]
        if dead and (error is not None or any(dead)):
            # a signal says more than a status
            raise UserError(_of(min(dead), len(dead), len(codes), self._cut_off)) from error


def _end_half_started(error: BaseException) -> None:
    """End the workers of an iterator that could not start all of them.

    They ignore the signal by which an exiting interpreter ends its children, which then waits for them; and
    the iterator's own end (torch 2.13) fails for want of attributes.
    """
    trace = error.__traceback__
    while trace is not None:
        started = trace.tb_frame.f_locals.get("self")
        if isinstance(started, _BaseDataLoaderIter):
            for worker in getattr(started, "_workers", ()):
                worker.kill()
            started._workers = []
        trace = trace.tb_next


def _of(code: int, dead: int, count: int, cut_off: Callable[[], str]) -> str:
    """The line about dead workers.

    Args:
        code: The exit code of one: a status, or minus a signal's number.
        dead: How many are dead.
        count: How many there were.
        cut_off: See `batches_of`.
    """
    who = "a data worker" if dead == 1 else f"{dead} of {count} data workers"
    verb = "was" if dead == 1 else "were"
    if code >= 0:
        return _line(f"{who} ended with status {code} before the training did", SHOWS)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return _line(f"{who} {verb} killed by SIGKILL, most likely because memory ran out", FEWER)
    if name == "SIGBUS":
        if fault := cut_off():
            return _line(f"{who} {verb} killed: {fault}", "")
        cause = f"a data file was cut short, or {shared_memory()}"
        return _line(f"{who} {verb} killed by SIGBUS, because {cause}", f"mend the file, or {FEWER}")
    if name in ("SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE"):
        return _line(f"{who} {verb} killed by {name}: a library crashed while it read a picture", SHOWS)
    return _line(f"{who} {verb} killed by {name}, which somebody sent", "")


def _line(what: str, remedy: str) -> str:
    return f"{what}; {f'{remedy} and ' if remedy else ''}continue with --auto_resume"
