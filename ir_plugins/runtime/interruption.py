"""SIGTERM and Ctrl-C: a run saves itself before it ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Stopped


class Interruption:
    """Inside `with Interruption() as interruption:` the first signal is only noted, in `received`.

    A second Ctrl-C ends the process at once, as does any signal inside `with interruption.at_once():`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._at_once = False

    def __enter__(self) -> "Interruption":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # others cannot have handlers
            self._before = {
                number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

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
            raise KeyboardInterrupt
        first, self.received = self.received is None, signal.Signals(number)
        if first and number == signal.SIGINT:
            note = "\nfinishing the current step, then saving; Ctrl-C again ends at once\n"
            os.write(2, note.encode())  # print may be what was interrupted
        if self._at_once:
            raise Stopped(self.received)


def ignore_signals(worker: int) -> None:
    """A DataLoader's `worker_init_fn`: the run's own process decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # torch's worker looks for its parent only after this; if the parent is dead, it finds whoever adopted it
    if (parent := multiprocessing.parent_process()) is not None and not parent.is_alive():
        os._exit(1)
