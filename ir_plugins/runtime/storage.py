"""Write files whole or not at all, and recognise them by their SHA-256."""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .regular import NotRegular, kind_of, open_regular

LONGEST_STEM = 200  # bytes; file systems allow 255 in a name
# the names that `written_whole` gives to files that are not whole yet: .NAME.PROCESS.part
_PART = re.compile(r"\..+\.[0-9]+\.part", re.DOTALL)


@contextmanager
def written_whole(path: str | Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` when the block ends; an error leaves what was there before.

    Args:
        path: Missing folders are made.
        durable: The file also survives a power cut.

    Raises:
        NotRegular: `path` is a folder, pipe, socket or device, such as /dev/null, or a link to one.
        OSError: The disk is full, or a folder cannot be made; it names `path` or the folder.
    """
    path = Path(path)
    _refuse_other_than_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(path.name)
    # a name that just fits leaves no room for more
    stem = path.name if len(name) <= LONGEST_STEM else hashlib.sha256(name).hexdigest()
    part = path.with_name(f".{stem}.{os.getpid()}.part")
    try:
        with _naming(path):
            file = open(part, "wb")  # noqa: SIM115  (the block's own errors are not this file's)
        try:
            yield _Named(file, path)  # pyright: ignore[reportReturnType]  (a proxy)
            with _naming(path):
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        finally:
            with _naming(path):
                file.close()
        with _naming(path):
            os.replace(part, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink()


def _refuse_other_than_file(path: Path) -> None:
    """Raise NotRegular if something else than a file is there: os.replace would put a file in its place."""
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            kind = kind_of(os.stat(path))
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link without end leads to nothing
                return
            raise
        if kind is not None:
            raise NotRegular(errno.EINVAL, f"it is {kind}, not a file to write", str(path))


def remove_parts(folder: str | Path) -> None:
    """Remove what killed processes have left of `written_whole`, in a folder and below it.

    Args:
        folder: One that no process is writing to.
    """
    for place, _, names in os.walk(folder):
        for name in filter(_PART.fullmatch, names):
            with suppress(OSError):
                os.unlink(os.path.join(place, name))


def save_whole(content: Any, path: str | Path) -> str:
    """Write a file with torch.save, whole and durable.

    Args:
        content: What to save.
        path: The file.

    Returns:
        The SHA-256 of the file.

    Raises:
        OSError: The disk is full, or a folder cannot be made.
    """
    import torch  # here, because it is slow and writers of other files do not need it

    with written_whole(path) as file:
        hashing = _Hashing(file)
        try:
            torch.save(content, hashing)  # pyright: ignore[reportArgumentType]  (it asks for no more than write)
        except RuntimeError as error:  # torch's writer hides what the file said
            raise hashing.error or OSError(errno.EIO, str(error), str(path)) from error
    return hashing.digest.hexdigest()


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, which is read in pieces."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def numbered_states(folder: str | Path) -> list[Path]:
    """The training states N.state of a folder, oldest first."""
    states = [file for file in Path(folder).glob("*.state") if re.fullmatch("[1-9][0-9]{0,17}", file.stem)]
    return sorted(states, key=lambda file: int(file.stem))


class _Named:
    """A file to write to, whose errors name the path that it will have."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path = file, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        try:  # not `_naming`: torch writes each tensor in several small pieces
            return self._file.write(data)
        except OSError as error:
            _name(error, self._path)
            raise

    def flush(self) -> None:
        with _naming(self._path):
            self._file.flush()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of the system name a file: those of writing name none, others the part."""
    try:
        yield
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: Path) -> None:
    if error.errno is not None and error.filename2 is None:
        error.filename = str(path)


class _Hashing:
    """A binary file that hashes what is written, and keeps the error of a failed write."""

    def __init__(self, file: BinaryIO):
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            count = self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return count

    def flush(self) -> None:
        self.file.flush()


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # where folders cannot be opened, as on Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
