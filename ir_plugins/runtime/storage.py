"""Write files whole or not at all, and check that a file is intact."""

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def written_whole(path: str | Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` when the block ends; an error leaves what was there before.

    Args:
        path: Missing folders are made.
        durable: The file also survives a power cut.

    Raises:
        OSError: The disk is full, or a folder cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(part, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink()


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
            raise hashing.error or OSError(str(error)) from error
    return hashing.digest.hexdigest()


def is_intact(path: str | Path, digest: str | None = None) -> bool:
    """Whether a file of torch.save is complete.

    torch writes a checksum of every record, but does not compare it when it reads.

    Args:
        path: The file.
        digest: A SHA-256 that the file must have; default: any.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            whole = archive.testzip() is None
    except Exception:  # a damaged directory may ask for a password, or to unpack what was never packed
        return False
    return whole and (digest is None or digest == _digest(path))


def numbered_states(folder: str | Path) -> list[Path]:
    """The training states N.state of a folder, oldest first."""
    states = [file for file in Path(folder).glob("*.state") if re.fullmatch("[1-9][0-9]{0,17}", file.stem)]
    return sorted(states, key=lambda file: int(file.stem))


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


def _digest(path: str | Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # where folders cannot be opened, as on Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
