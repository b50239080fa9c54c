"""Signals that end a process: Ctrl-C, SIGTERM, and SIGHUP when a terminal is closed."""

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from .errors import Stopped
from .parents import die_with_parent

# SIGHUP: POSIX only
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
Handler = Callable[[int, FrameType | None], Any]


class Interrupted(KeyboardInterrupt):
    """A signal ends the process; what it began is cleaned up on the way.

    Args:
        signal: Its number.
    """

    def __init__(self, signal: int):
        super().__init__()
        self.signal = signal


class Ending:
    """Inside `with Ending(name, own=...) as ending:` a signal ends the process, with one line.

    Args:
        name: The command, for the line.
        own: Whether the process exists for the command only.  Then a signal ends it where it is, as long as
            `at_once` is true: while modules are imported, an exception may be printed, dropped or worse.
            Else, and from when `at_once` is false, the signal raises Interrupted.
    """

    def __init__(self, name: str, *, own: bool):
        self.name, self.own, self.at_once = name, own, own
        self.received: int | None = None

    def __enter__(self) -> "Ending":
        self._hook = sys.unraisablehook
        # a job in the background of a script ignores Ctrl-C, under nohup SIGHUP
        self._handling = _handling(self._end, {one for one in ENDING if _is_ignored(one)})
        self._handling.__enter__()
        sys.unraisablehook = self._again
        return self

    def __exit__(self, *exception: Any) -> None:
        sys.unraisablehook = self._hook
        self._handling.__exit__(None, None, None)
        for number in ENDING if self.own else ():  # Python's own end prints what interrupts it
            if not _is_ignored(number):
                signal.signal(number, signal.SIG_DFL)

    def line(self, number: int) -> str:
        """What the process says when a signal ends it."""
        what = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        return f"{self.name}: {what}"

    def _end(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received is not None, number
        if self.at_once or (again and self.own and number == signal.SIGINT):
            if speaks():
                _write(f"\n{self.line(number)}\n")
            os._exit(128 + number)
        if not again or number == signal.SIGINT:
            raise Interrupted(number)

    def _again(self, unraisable: Any) -> None:
        """Python drops an exception that is raised in a destructor: let the signal come again."""
        if not isinstance(unraisable.exc_value, Interrupted):
            self._hook(unraisable)
            return
        import threading

        number, self.received = unraisable.exc_value.signal, None
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()  # the destructor is still running


class Interruption:
    """Inside `with Interruption() as interruption:` the first signal is only noted, in `received`.

    A second Ctrl-C ends the process at once, as does any signal inside `with interruption.at_once():`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._at_once = False

    def __enter__(self) -> "Interruption":
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        # Ctrl-C is noted even if ignored so far: `kill -INT` ends a job in the background
        self._handling = _handling(self._note, {one for one in ENDING[2:] if _is_ignored(one)})
        self._handling.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._handling.__exit__(None, None, None)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise Stopped as soon as a signal comes, or now if one has come."""
        self._at_once = True
        try:
            if self.received is not None:
                raise Stopped(self.received)
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise Interrupted(number)
        first, self.received = self.received is None, signal.Signals(number)
        if number == getattr(signal, "SIGHUP", None):
            self._leave_terminal()
        if first and number == signal.SIGINT and speaks():
            _write("\nfinishing the current step, then saving; Ctrl-C again ends at once\n")
        if self._at_once:
            raise Stopped(self.received)

    def _leave_terminal(self) -> None:
        """Write to nowhere from now on: writing to a terminal that is gone is an error."""
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in self._terminals:
                os.dup2(nowhere, number)
            os.close(nowhere)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


@contextmanager
def _handling(handler: Handler, without: Collection[int]) -> Iterator[None]:
    """Call `handler` for each ending signal but those in `without`, in this process and its main thread."""
    owner, before = os.getpid(), {}

    def handle(number: int, frame: FrameType | None) -> None:
        # a worker that was forked a moment ago has this handler too: its parent decides when it ends
        if os.getpid() == owner:
            handler(number, frame)

    for number in ENDING:
        if number not in without:
            with suppress(ValueError):  # not the main thread: others cannot have handlers
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def deadly_signals() -> Iterator[None]:
    """Let the system end the process by a signal: Python's handlers wait for a call into C to return."""
    before = {}
    for number in ENDING:
        if callable(signal.getsignal(number)):
            with suppress(ValueError):
                before[number] = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def ignore_signals(worker: int) -> None:
    """A DataLoader's `worker_init_fn`: the run's own process decides when its workers end, and how."""
    import multiprocessing

    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    sys.excepthook = _without_lost_connections
    # torch's worker looks for its parent only after this; if the parent is dead, it finds whoever adopted it
    if (parent := multiprocessing.parent_process()) is not None and not parent.is_alive():
        os._exit(1)


def _without_lost_connections(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """A worker's `sys.excepthook`: the process that it serves has ended, and says itself why."""
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def speaks() -> bool:
    """Whether this process speaks for all ranks: a signal reaches each of them."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _write(text: str) -> None:
    with suppress(OSError):
        os.write(2, text.encode())  # print may be what was interrupted
