"""A lock that one process at a time can hold, until it ends."""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError
from .regular import kind_of


@contextlib.contextmanager
def alone(file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock on a file; it ends with the process, however that ends.

    Args:
        file: Made if it is missing.
        refusal: The message where another process holds the lock.

    Raises:
        UserError: Another process holds the lock, or the file cannot be made or is a pipe, device or link.
    """
    try:
        import fcntl
    except ImportError:  # not POSIX: no lock
        yield
        return

    # neither waiting for the reader of a pipe, nor writing where a link leads
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{file} is a link, not a file that can be a lock; remove it") from None
        raise UserError(
            f"{file}: the lock cannot be made: {error.strerror}; mend that, or work elsewhere"
        ) from error
    _locks.add(handle)
    try:
        if (kind := kind_of(os.fstat(handle))) is not None:
            raise UserError(f"{file} is {kind}, not a file that can be a lock; remove it")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise UserError(f"{file}: cannot be locked: {error.strerror}; work elsewhere") from error
            warnings.warn(f"{file}: this disk has no locks; start nothing else of this name", stacklevel=3)
        yield
    finally:
        _locks.discard(handle)
        os.close(handle)


# Lustre and some network file systems; a run goes on there, as it does on Windows
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_locks: set[int] = set()


def _let_go_of_locks() -> None:
    for handle in _locks:
        os.close(handle)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    # a data worker lives some seconds longer than a killed run, and would hold the run's lock
    os.register_at_fork(after_in_child=_let_go_of_locks)
