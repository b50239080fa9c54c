"""Find the images of a folder."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..runtime.errors import UserError
from ..runtime.regular import MOST_TEXT, kind_of, open_regular, read_regular, reason_of
from .looks import look_at_file
from .raw import Broken
from .walking import files_below

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def files_in(folder: Path, *, recursive: bool = False, what: str = "") -> list[Path]:
    """Every file of a folder, sorted by name; hidden files and folders are skipped, links followed.

    Args:
        folder: Where to look.
        recursive: Look into subfolders too, as far as `files_below` goes.  Without it these are the files
            that BasicSR takes for a dataset, whatever their names end in, and whatever is named as a picture.
        what: The option that names the folder; messages begin with it.

    Raises:
        UserError: This is no folder of pictures, or one below it cannot be read.
    """
    if recursive:
        return files_below(folder, has_image_name, what)
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    # a pipe or a dangling link that is named as a picture is kept, for its reader to name it
    return sorted(
        Path(entry.path)
        for entry in visible
        if _is_file(entry) or (has_image_name(entry.name) and not os.path.isdir(entry.path))
    )


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that never ends
        return False


def image_files(folder: Path, *, recursive: bool = False, what: str = "") -> list[Path]:
    """The files of a folder that are images by name: png, jpg, jpeg, bmp, tif, tiff or webp, in any case.

    Args:
        folder: Where to look.
        recursive: Look into subfolders too.
        what: The option that names the folder; messages begin with it.
    """
    return [path for path in files_in(folder, recursive=recursive, what=what) if has_image_name(path)]


def has_image_name(path: str | Path) -> bool:
    """Whether the name ends like an image's."""
    return str(path).lower().endswith(IMAGE_SUFFIXES)


def existing_folder(folder: str | Path, what: str) -> Path:
    """The folder as a path.

    Args:
        folder: What was given.
        what: The option that names it; messages begin with it.

    Raises:
        UserError: It is missing or not a folder.
    """
    folder = Path(folder)
    try:
        status = os.stat(folder)
        readable = os.access(folder, os.R_OK | os.X_OK)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in the name
        here = "" if folder.is_absolute() else f" below {Path.cwd()}"
        raise UserError(f"{what}: {folder} does not exist{here}; correct the path") from None
    except OSError as error:
        reason = reason_of(error)
        raise UserError(f"{what}: {folder} cannot be read: {reason}; correct the path") from None
    if not stat.S_ISDIR(status.st_mode):
        kind = kind_of(status) or "a file"
        raise UserError(f"{what}: {folder} is {kind}; name the folder that holds the images")
    if not readable:
        raise UserError(f"{what}: {folder} cannot be read: permission denied; give yourself the right to")
    return folder


def existing_file(path: str | Path, what: str, mend: str) -> Path:
    """The file as a path.

    Args:
        path: What was given.
        what: The option that names it; messages begin with it.
        mend: How to mend what is wrong; messages end with it.

    Raises:
        UserError: It is missing, unreadable or no regular file.
    """
    try:
        open_regular(path).close()
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{what}: {path} cannot be read: {reason}; {mend}") from None
    return Path(path)


def text_of(path: str | Path, what: str, *, lenient: bool = False, mend: str = "correct the path") -> str:
    """The text of a file that lists pictures, in UTF-8.

    Args:
        path: What was given.
        what: The option that names it; messages begin with it.
        lenient: Take bytes that are no UTF-8 too, and a byte order mark as a part of the text.
        mend: How to mend what is wrong; messages end with it.

    Raises:
        UserError: It is missing, unreadable, no regular file, too long or no text.
    """
    try:
        content = read_regular(path, MOST_TEXT)
        return content.decode("utf-8", "replace") if lenient else content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UserError(f"{what}: {path} cannot be read: {reason}; {mend}") from None


def strangers(files: Iterable[Path]) -> list[str]:
    """The names of the files that are no images; an unusual ending is fine if OpenCV reads the file."""
    found = []
    for path in files:
        if not has_image_name(path):
            try:
                look_at_file(path)
            except Broken:
                found.append(path.name)
    return found
