"""Open regular files only, and read no more of them than fits.

A named pipe waits for a writer, /dev/zero never ends: every file that a user names is opened here.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_TEXT = 1 << 30  # bytes of a listing of files: ten million of them fit
MOST_OPTIONS = 1 << 19  # bytes of an option file, which take 2 s; the longest that we ship has 8 KB


class NotRegular(OSError):
    """A path names a pipe, socket, device or folder; `strerror` says which."""


class TooLarge(OSError):
    """A file is larger than its reader allows; `strerror` says by how much."""


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Args:
        path: The file, or a link to one.

    Raises:
        NotRegular: It is a pipe, socket, device or folder.
        OSError: It is missing, unreadable, or a link that never ends.
    """
    try:
        # a pipe without a writer would make open() wait
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:  # what the system says of a socket
            raise NotRegular(errno.EINVAL, "it is a socket, not a file", str(path)) from None
        raise
    try:
        if (kind := kind_of(os.fstat(handle))) is not None:
            raise NotRegular(errno.EINVAL, f"it is {kind}, not a file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | Path, most: int | None = None) -> bytes:
    """All bytes of a file.

    Args:
        path: The file, or a link to one.
        most: Bytes that it may have; default: any number.

    Raises:
        NotRegular: It is a pipe, socket, device or folder.
        TooLarge: It has more than `most` bytes.
        OSError: It is missing or unreadable.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size  # known before memory is taken for it
        # read(most) would take the memory for `most` bytes, however short the file is
        content = b"" if most is not None and size > most else file.read(size + 1)
        if len(content) > size:  # it grows, or has no size, as files in /proc
            content += file.read(-1 if most is None else most + 1 - len(content))
    if most is not None and (size := max(size, len(content))) > most:
        raise TooLarge(
            errno.EFBIG, f"it has {size / 1e6:.1f} MB, at most {most / 1e6:.1f} MB are read", str(path)
        )
    return content


def real(path: str | Path) -> Path:
    """A path without links, absolute; a link that never ends stays as it is.

    Before Python 3.13 Path.resolve raises RuntimeError for such a link.

    Args:
        path: Any path; there need be no file.
    """
    return Path(os.path.realpath(path))


def reason_of(error: OSError) -> str:
    """Why a file cannot be opened or read, in a few words that do not name it.

    Args:
        error: What opening or reading raised.
    """
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def kind_of(status: os.stat_result) -> str | None:
    """What a path names if that is no regular file, as "a named pipe"; None for a regular file.

    Args:
        status: What os.stat returns of the path.
    """
    kinds = (
        (stat.S_ISREG, None),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_kind, name in kinds if is_kind(status.st_mode)), "a device")
