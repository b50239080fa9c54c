"""Find the images of a folder, their sizes, and which are whole, judged by their first and last bytes."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..runtime.errors import UserError
from .raw import Broken, is_raw, view

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class Look(NamedTuple):
    """The size and format of an image.

    Args:
        height: In pixels, as BasicSR decodes it.
        width: In pixels, as BasicSR decodes it.
        alpha: Whether it has an alpha channel.
        bits: Bits of a channel.
        channels: How many `basicsr lmdb` stores.
    """

    height: int
    width: int
    alpha: bool
    bits: int
    channels: int


def files_in(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Every file of a folder, sorted by name; hidden files and folders are skipped, links followed.

    Args:
        folder: Where to look.
        recursive: Look into subfolders too.  Without it these are the files that BasicSR takes for a
            dataset, whatever their names end in.
    """
    if not recursive:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = []
    for root, folders, names in os.walk(folder, followlinks=True):
        above = Path(root).absolute().parents if Path(root) != folder and os.path.islink(root) else ()
        if os.path.realpath(root) in map(os.path.realpath, above):
            folders.clear()  # a link to a folder further up would never end
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(found)


def image_files(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The files of a folder that are images by name: png, jpg, jpeg, bmp, tif, tiff or webp, in any case.

    Args:
        folder: Where to look.
        recursive: Look into subfolders too.
    """
    return [path for path in files_in(folder, recursive=recursive) if has_image_name(path)]


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
    if not folder.exists():
        here = "" if folder.is_absolute() else f" below {Path.cwd()}"
        raise UserError(f"{what}: {folder} does not exist{here}; correct the path")
    if not folder.is_dir():
        raise UserError(f"{what}: {folder} is a file; name the folder that holds the images")
    return folder


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


def look_at_file(path: str | Path) -> Look:
    """Size and format of an image file.

    Args:
        path: The file.

    Raises:
        Broken: It is no image, truncated, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 16))
            tail = file.read()
            file.seek(0)
            look = _quick_look(file, tail, length)
            if look is None:
                file.seek(0)
                look = _full_look(file.read())
            return look
    except OSError as error:
        raise Broken((error.strerror or str(error)).lower()) from None


def look_at_bytes(data: memoryview) -> Look:
    """`look_at_file` for an image in memory; most of a memory map stays unread.

    Args:
        data: The bytes of the file, or a raw value of an LMDB.

    Raises:
        Broken: It is no image, or truncated.
    """
    if is_raw(data):
        height, width, channels = (pixels := view(data)).shape
        return Look(height, width, channels % 2 == 0, 8 * pixels.itemsize, channels)
    head = io.BytesIO(data[: 1 << 14])
    return _quick_look(head, bytes(data[-16:]), len(data)) or _full_look(data)


def _quick_look(head: BinaryIO, tail: bytes, length: int) -> Look | None:
    """Size by the header if the end looks right, else None: then the whole file has to be decoded.

    Args:
        head: The file, or as many of its first bytes as hold the header.
        tail: Its last 16 bytes.
        length: Length of the file, in bytes.
    """
    try:
        image = Image.open(head)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    head.seek(0)
    start = head.read(25)
    whole = {
        "PNG": lambda: tail.endswith(b"\0\0\0\0IEND\xaeB`\x82"),
        "JPEG": lambda: tail.endswith(b"\xff\xd9"),
        "BMP": lambda: 0 < int.from_bytes(start[2:6], "little") <= length,
        "WEBP": lambda: int.from_bytes(start[4:8], "little") + 8 <= length,
        "TIFF": lambda: _last_byte_of_tiff(image) <= length,
    }
    if image.format not in whole or not whole[image.format]():
        return None
    width, height = image.size
    # OpenCV turns a photograph upright, Pillow only does so for TIFF, and then leaves no "exif"
    if "exif" in image.info and image.getexif().get(0x0112, 1) >= 5:
        width, height = height, width
    bits = {"PNG": start[24], "TIFF": max(getattr(image, "tag_v2", {}).get(258, [8]))}
    alpha = image.has_transparency_data
    return Look(height, width, alpha, bits.get(image.format, 8), _channels(image))


def _last_byte_of_tiff(image: Image.Image) -> float:
    tags = getattr(image, "tag_v2", {})
    for offsets, counts in ((273, 279), (324, 325)):  # strips, tiles
        if offsets in tags and counts in tags:
            return max(a + b for a, b in zip(tags[offsets], tags[counts], strict=False))
    return float("inf")


def _full_look(data: bytes | memoryview) -> Look:
    """Size by decoding all of it.  Raises Broken."""
    if not len(data):
        raise Broken("empty")
    alpha, channels, reason = False, 3, "not an image"
    try:
        # Pillow first: OpenCV writes lines of its own to stderr about a broken image
        with Image.open(io.BytesIO(data)) as image:
            alpha, channels = image.has_transparency_data, _channels(image)
            reason = "truncated or damaged"
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass
    except (OSError, SyntaxError, ValueError, EOFError):
        raise Broken(reason) from None
    # BasicSR reads with OpenCV, so OpenCV has the last word
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise Broken(reason)
    height, width = pixels.shape[:2]
    return Look(height, width, alpha, 8 * pixels.itemsize, channels)


def _channels(image: Image.Image) -> int:
    if image.has_transparency_data:
        return 4
    return 1 if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16") else 3
