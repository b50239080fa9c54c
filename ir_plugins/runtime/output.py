"""Standard output and standard error on a full disk, as with `nohup basicsr train ... > log`."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from typing import Any


def open_missing_streams() -> None:
    """Point closed standard streams at the null device, as after `basicsr train >&-`.

    Progress bars need them.  The next file that is opened would get the number of a closed one, and with it
    what others print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        handle = os.open(os.devnull, os.O_RDWR)
        if handle != number and _is_free(number):
            os.dup2(handle, number)
            os.close(handle)
            handle = number
        setattr(sys, name, os.fdopen(handle, "w" if number else "r", encoding="utf-8", closefd=False))


def _is_free(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


@contextlib.contextmanager
def lenient_output() -> Iterator[None]:
    """Lose what cannot be printed, where print and progress bars would end the block with an OSError."""
    out: Any = sys.stdout and _Lenient(sys.stdout)  # None where there is no console
    error: Any = sys.stderr and _Lenient(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        yield


def flush_output() -> OSError | None:
    """Write what is still buffered; if that fails, drop it, as Python would report it once more at its end.

    Returns:
        Why it failed; None if it did not.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return error
    return None


def reader_is_gone() -> bool:
    """Whether nobody reads standard output any more, as in `basicsr list archs | head`."""
    if isinstance(flush_output(), BrokenPipeError):
        return True
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on Windows; not every stream has a number
        return False


class _Lenient:
    """A stream whose writing never fails for want of room or of a reader."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()
