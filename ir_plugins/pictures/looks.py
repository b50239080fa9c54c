"""The size and format of an image, and whether it is whole, judged by its first and last bytes."""

import io
import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..runtime.regular import open_regular, read_regular, reason_of
from .limits import MOST_BYTES, size_fault
from .raw import Broken, is_raw, view

# what both Pillow and OpenCV read; for others Pillow may start programs
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000", "SUN", "AVIF")
_ENDS = {"PNG": b"\0\0\0\0IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_HEAD = 1 << 14  # bytes that hold the header of most images
_CREDIBLE = 256  # pixels for each byte of a file: where a header promises more, the image is decoded
_LARGE = 1 << 26  # pixels: images from here on are decoded one at a time, for the sake of memory
_large = threading.Lock()
# OpenCV writes lines of its own about broken images, which the errors here name
if hasattr(cv2.utils, "logging"):
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


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


def look_at_file(path: str | Path) -> Look:
    """Size and format of an image file.

    Args:
        path: The file.

    Raises:
        Broken: It is no image, truncated, too large, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 16))
            tail = file.read(16)
            file.seek(0)
            look = _quick_look(file, tail, length)
        return look or _full_look(picture_bytes(path))
    except OSError as error:
        raise Broken(reason_of(error)) from None


def look_at_bytes(data: memoryview) -> Look:
    """`look_at_file` for an image in memory; most of a memory map stays unread.

    Args:
        data: The bytes of the file, or a raw value of an LMDB.

    Raises:
        Broken: It is no image, truncated, or too large.
    """
    if is_raw(data):
        height, width, channels = (pixels := view(data)).shape
        return Look(height, width, channels % 2 == 0, 8 * pixels.itemsize, channels)
    head = io.BytesIO(data[:_HEAD])
    return _quick_look(head, bytes(data[-16:]), len(data)) or _full_look(data)


def picture_bytes(path: str | Path) -> bytes:
    """All bytes of a picture file.

    Args:
        path: The file.

    Raises:
        OSError: It is missing, unreadable, no regular file, or too large for OpenCV.
    """
    return read_regular(path, MOST_BYTES)


def decoded(content: bytes | memoryview, flag: int, otherwise: str = "damaged") -> np.ndarray:
    """The pixels of an encoded picture, (H, W) or (H, W, C).

    Args:
        content: The bytes of the file.
        flag: OpenCV's, how to decode.
        otherwise: What to say if OpenCV gives no reason.

    Raises:
        Broken: OpenCV cannot decode it.
    """
    error = None
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error as caught:
        pixels, error = None, caught
    if pixels is None:
        raise Broken(why_undecodable(content, error, otherwise))
    return pixels


def why_undecodable(content: bytes | memoryview, error: cv2.error | None, otherwise: str) -> str:
    """Why OpenCV cannot decode a picture, in a few words.

    Args:
        content: The bytes of the file.
        error: What OpenCV raised; None if it returned no picture.
        otherwise: What to say if that gives no reason.
    """
    if error is not None and error.code == cv2.Error.StsNoMem:
        return "too large for the memory that is left"
    image = header(io.BytesIO(content[:_HEAD]))
    fault = image and size_fault(image.height, image.width)
    return fault or otherwise


def header(file: BinaryIO) -> Image.Image | None:
    """What Image.open returns; None for what is no image.

    Without Image.open's own limit, which is below OpenCV's, and its warnings.
    """
    if "AVIF" not in Image.OPEN:
        Image.init()
    start = file.read(16)
    for name in _FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory and accepts and accepts(start) is True:
            file.seek(0)
            try:
                return factory(file, "")
            except Exception:  # Pillow raises whatever the bytes lead to
                return None
    return None


def _quick_look(head: BinaryIO, tail: bytes, length: int) -> Look | None:
    """Size by the header if the end looks right, else None: then the whole file has to be decoded.

    Args:
        head: The file, or as many of its first bytes as hold the header.
        tail: Its last 16 bytes.
        length: Length of the file, in bytes.

    Raises:
        Broken: The header promises more than can be decoded.
    """
    if (image := header(head)) is None:
        return None
    head.seek(0)
    try:
        look, last = _promised(image, head.read(25))
        credible = last <= length and look.height * look.width <= _CREDIBLE * length
    except Exception:  # Pillow raises whatever the bytes lead to
        return None
    if fault := size_fault(look.height, look.width, look.bits):
        raise Broken(fault)
    return look if credible and tail.endswith(_ENDS.get(image.format or "", b"")) else None


def _promised(image: Image.Image, start: bytes) -> tuple[Look, float]:
    """What a header promises, and how long the file has to be; infinite where that is unknown.

    Args:
        image: What `header` returns.
        start: The first 25 bytes of the file.
    """
    width, height = image.size
    # OpenCV turns a photograph upright, Pillow only does so for TIFF, and then leaves no "exif"
    if "exif" in image.info and image.getexif().get(0x0112, 1) >= 5:
        width, height = height, width
    bits = last = 8
    if image.format == "PNG":
        bits = start[24]
    elif image.format == "TIFF":
        bits, last = max(getattr(image, "tag_v2", {}).get(258, [8])), _last_byte_of_tiff(image)
    elif image.format == "BMP":
        last = int.from_bytes(start[2:6], "little") or float("inf")
    elif image.format == "WEBP":
        last = int.from_bytes(start[4:8], "little") + 8
    elif image.format != "JPEG":
        last = float("inf")
    return Look(height, width, image.has_transparency_data, bits, _channels(image)), last


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
    image = header(io.BytesIO(data))
    if image and (fault := size_fault(image.height, image.width)):
        raise Broken(fault)
    with _large if image and image.height * image.width > _LARGE else nullcontext():
        # Pillow first: OpenCV writes lines of its own to stderr about a broken image
        alpha, channels = _loaded(image) if image else (False, 3)
        known, image = image is not None, None  # its pixels go before OpenCV's come
        # BasicSR reads with OpenCV, so OpenCV has the last word
        pixels = decoded(
            data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, "truncated or damaged" if known else "not an image"
        )
    height, width = pixels.shape[:2]
    return Look(height, width, alpha, 8 * pixels.itemsize, channels)


def _loaded(image: Image.Image) -> tuple[bool, int]:
    """Whether the image has an alpha channel, and its channels; all of it is decoded.  Raises Broken."""
    try:
        alpha, channels = image.has_transparency_data, _channels(image)
        image.load()
    except MemoryError:
        raise Broken("too large for the memory that is left") from None
    except Exception:  # Pillow raises whatever the bytes lead to
        raise Broken("truncated or damaged") from None
    return alpha, channels


def _channels(image: Image.Image) -> int:
    if image.has_transparency_data:
        return 4
    return 1 if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16") else 3
