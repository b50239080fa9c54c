"""The format of `basicsr lmdb --codec raw`: a header of 32 bytes, then the pixels as they are.

Nothing has to be decoded: a crop is a slice of `view`, and reads only its rows of the memory map.

H x W picture, C channels (1 gray, 2 gray and alpha, 3 BGR, 4 BGR and alpha)
"""

import hashlib
import struct
from functools import wraps
from typing import Any, Literal

import numpy as np

from ..runtime.errors import UserError

MAGIC = b"\xeeraw"  # PNG begins with \x89, JPEG with \xff, BMP with B, TIFF with I or M, WEBP with R
# magic, version, bits, channels, height, width, digest of the pixels; little-endian, as the pixels are
_HEADER = struct.Struct("<4sBBBxII16s")
HEADER_SIZE = _HEADER.size
_VERSION = 1
_PIXELS = {8: np.dtype("u1"), 16: np.dtype("<u2")}


class Broken(Exception):
    """These bytes are no whole image; the message says why in a few words."""


def encode(pixels: np.ndarray) -> bytes:
    """The value that stores pixels.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16, as OpenCV decodes a file with IMREAD_UNCHANGED.

    Raises:
        ValueError: They are of another shape or type.
    """
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    if pixels.dtype not in (np.uint8, np.uint16) or len(shape) != 3 or 0 in shape or shape[2] > 4:
        raise ValueError(
            f"{pixels.dtype} pixels of shape {pixels.shape}: give uint8 or uint16, 1 to 4 channels"
        )
    h, w, c = shape
    bits = 8 * pixels.itemsize
    rows = np.ascontiguousarray(pixels, _PIXELS[bits]).tobytes()
    return _HEADER.pack(MAGIC, _VERSION, bits, c, h, w, _digest(rows)) + rows


def is_raw(value: bytes | memoryview) -> bool:
    """Whether a value was made by `encode`, judged by its first bytes."""
    return value[:4] == MAGIC


def view(value: bytes | memoryview) -> np.ndarray:
    """The pixels (H, W, C) of a value, read-only and not copied.

    Args:
        value: As `encode` makes it.

    Raises:
        Broken: It is not whole.
    """
    try:
        magic, version, bits, c, h, w, _ = _HEADER.unpack_from(value)
    except struct.error:
        raise Broken("truncated") from None
    if magic != MAGIC or version != _VERSION or bits not in _PIXELS or not h * w or not 1 <= c <= 4:
        newer = magic == MAGIC and version > _VERSION
        raise Broken("raw pixels of a newer version" if newer else "damaged header")
    if beyond := len(value) - HEADER_SIZE - h * w * c * bits // 8:
        raise Broken("truncated" if beyond < 0 else "too long")
    return np.frombuffer(value, _PIXELS[bits], offset=HEADER_SIZE).reshape(h, w, c)


def has_valid_checksum(value: bytes | memoryview) -> bool:
    """Whether the pixels of a value match their checksum; reads all of them."""
    return _digest(value[HEADER_SIZE:]) == _HEADER.unpack_from(value)[-1]


def _digest(rows: bytes | memoryview) -> bytes:
    return hashlib.blake2b(rows, digest_size=16).digest()


def converted(pixels: np.ndarray, flag: Literal["color", "grayscale", "unchanged"]) -> np.ndarray:
    """What OpenCV decodes from a PNG of these pixels; a view, unless something has to be computed.

    Args:
        pixels: (H, W, C), uint8 or uint16.
        flag: color gives (H, W, 3), uint8; grayscale (H, W), uint8; unchanged (H, W) if C is 1, else the
            pixels as they are.
    """
    c = pixels.shape[2]
    if flag == "unchanged":
        return pixels[..., 0] if c == 1 else pixels
    if flag not in ("color", "grayscale"):
        raise ValueError(f"flag: {flag!r} is unknown; give color, grayscale or unchanged")
    if c <= 2:
        gray = _to_8_bits(pixels[..., 0])
        return np.repeat(gray[..., None], 3, axis=2) if flag == "color" else gray
    if flag == "color":
        return _to_8_bits(pixels[..., :3])
    # libpng's integers, which round at 16 bits only; OpenCV's cvtColor has others
    blue, green, red = np.moveaxis(pixels[..., :3].astype(np.uint32), 2, 0)
    half = (1 << 14) * (pixels.itemsize - 1)
    gray = (3737 * blue + 19234 * green + 9797 * red + half) >> 15
    return (gray >> 8 * (pixels.itemsize - 1)).astype(np.uint8)


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.itemsize == 1 else (pixels >> 8).astype(np.uint8)


def decoding_raw(decode: Any) -> Any:
    """Make a version of BasicSR's `imfrombytes` that reads raw values too.

    Args:
        decode: BasicSR's `imfrombytes`.
    """

    @wraps(decode)
    def imfrombytes(content: Any, flag: Any = "color", float32: bool = False) -> np.ndarray:
        if not is_raw(content):
            return decode(content, flag, float32)
        try:
            pixels = converted(view(content), flag)
        except Broken as error:
            where = getattr(content, "source", "what was read")
            raise UserError(f"{where} ({len(content)} bytes) is {error}; make the LMDB again") from None
        # a copy if it is still a view of the value, which is read-only
        return (
            pixels.astype(np.float32) / 255.0 if float32 else np.require(pixels, requirements=["C", "W", "O"])
        )

    vars(imfrombytes)["reads_raw"] = True
    return imfrombytes
