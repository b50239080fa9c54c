"""Walk through a folder and the folders below it, so far that every real data set fits, and no further."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..runtime.errors import UserError
from ..runtime.regular import reason_of

MOST_FILES = 20_000_000
MOST_DEPTH = 100  # folders below each other
MOST_AGAIN = 10_000  # folders that links lead to once more
# a folder of pictures may hold other things too: each picture may come with notes, masks, ...
_MOST_OTHERS, _OTHERS_PER_PICTURE = 300_000, 20
_OF_THE_SYSTEM = ("/proc", "/sys", "/dev")  # they list processes and devices, some without end


class _Folder(NamedTuple):
    """A folder that waits for its turn.

    Args:
        path: As it was reached.
        below: The names that lead to it from the root.
        above: Device and number of each folder on the way, itself included.
    """

    path: str
    below: tuple[str, ...]
    above: frozenset[tuple[int, int | str]]


def files_below(root: Path, is_picture: Callable[[str], bool], what: str = "") -> list[Path]:
    """Every file below a folder, sorted by name; hidden files and folders are skipped, links followed.

    A link to a folder further up is skipped, and so are /proc, /sys and /dev below another folder.

    Args:
        root: Where to look.
        is_picture: Whether a name is a picture's.
        what: The option that names the folder; messages begin with it.

    Raises:
        UserError: A folder cannot be read, or this is no folder of pictures: there are too many other files,
            folders below each other, or links to the same folders.
    """
    found: list[tuple[tuple[str, ...], str]] = []
    pictures = others = again = 0
    start = _number(root)
    seen, waiting = {start}, [_Folder(str(root), (), frozenset((start,)))]
    while waiting:
        folder = waiting.pop()
        others += 1
        for entry in _entries(folder, what):
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                found.append(((*folder.below, entry.name), entry.path))
                if is_picture(entry.name):
                    pictures += 1
                else:
                    others += 1
                continue
            number = _number(entry.path)
            if number in folder.above or os.path.realpath(entry.path) in _OF_THE_SYSTEM:
                continue  # a link to a folder further up would never end
            again += number in seen
            seen.add(number)
            waiting.append(_Folder(entry.path, (*folder.below, entry.name), folder.above | {number}))
        if fault := _fault(pictures, others, again, len(folder.below)):
            where = f"{what}: {root}" if what else root
            last = folder.path if len(folder.path) < 100 else f"{folder.path[:97]}..."
            raise UserError(
                f"{where} holds {fault}: the search ended in {last} after {pictures + others:,} files and "
                f"folders, {pictures:,} of them pictures; name the folder of the pictures"
            )
    return [Path(path) for _, path in sorted(found)]


def _fault(pictures: int, others: int, again: int, depth: int) -> str:
    """What a folder of pictures would not hold; empty if there is nothing of the kind."""
    if others > _MOST_OTHERS + _OTHERS_PER_PICTURE * pictures:
        return "hardly any pictures"
    if pictures + others > MOST_FILES:
        return f"more than {MOST_FILES:,} files and folders"
    if again > MOST_AGAIN:
        return f"links that lead to the same folders more than {MOST_AGAIN:,} times"
    return f"more than {MOST_DEPTH} folders below each other" if depth > MOST_DEPTH else ""


def _entries(folder: _Folder, what: str) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder.path) as entries:
            yield from entries
    except OSError as error:
        # every ext4 disk has a folder of this name, which only root reads
        if folder.below[-1:] != ("lost+found",):
            where = f"{what}: {folder.path}" if what else folder.path
            raise UserError(f"{where} cannot be read: {reason_of(error)}; mend or move it") from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that never ends: its reader says so
        return False


def _number(folder: str | Path) -> tuple[int, int | str]:
    try:
        status = os.stat(folder)
    except OSError:  # it has just gone, or may not be entered: reading it says so
        return (-1, -1)
    return status.st_dev, status.st_ino or os.path.realpath(folder)  # some file systems do not number
