"""The one way to write a picture: pixels in OpenCV's order become the bytes of a file."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..runtime.storage import written_whole

QUICK_PNG = 1  # a level of PNG: far less time than OpenCV's own choice, for a few percent more bytes
_16_BITS = (".png", ".tif", ".tiff")


def encoded(
    pixels: np.ndarray,
    ending: str = ".png",
    *,
    level: int | None = None,
    quality: int | None = None,
    full_colour: bool = False,
) -> bytes:
    """The bytes of a picture file.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8; for PNG and TIFF uint16 too.  The channels
            are B, G, R and alpha.
        ending: The format, as the name of a file ends: ".png", ".jpg", ".webp", ".tif", ...
        level: How hard PNG compresses, 0 to 9; default: as OpenCV chooses.
        quality: Quality of JPEG, 1 to 100, as the IJG's libjpeg counts it; default: as OpenCV chooses.
        full_colour: JPEG keeps colours at full resolution instead of half.

    Raises:
        ValueError: The format cannot hold such pixels, or OpenCV does not write it.
    """
    pixels, ending = np.ascontiguousarray(pixels), ending.lower()
    kinds = (np.uint8, np.uint16) if ending in _16_BITS else (np.uint8,)
    if pixels.dtype not in kinds or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        wanted = " or ".join(np.dtype(kind).name for kind in kinds)
        raise _refusal(pixels, ending, f"give {wanted}, (H, W) or (H, W, C)")
    how = []
    if level is not None:
        how += [cv2.IMWRITE_PNG_COMPRESSION, level]
    if quality is not None:
        how += [cv2.IMWRITE_JPEG_QUALITY, quality]
    if full_colour:
        how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    try:
        done, content = cv2.imencode(ending, pixels, how)
    except cv2.error as error:
        raise _refusal(pixels, ending, str(getattr(error, "err", "")) or "OpenCV refuses them") from None
    if not done:
        raise _refusal(pixels, ending, "OpenCV refuses them")
    return content.tobytes()


def write_picture(path: str | Path, pixels: np.ndarray, *, durable: bool = False, **how: Any) -> None:
    """Write a picture to a file; an error leaves the file that was there before.

    Args:
        path: The file; its ending is the format.  Missing folders are made.
        pixels: As `encoded` takes them.
        durable: The file also survives a power cut.
        how: `level`, `quality` and `full_colour` of `encoded`.

    Raises:
        ValueError: The format cannot hold such pixels.
        OSError: The file cannot be written.
    """
    content = encoded(pixels, Path(path).suffix, **how)
    with written_whole(path, durable=durable) as file:
        file.write(content)


def _refusal(pixels: np.ndarray, ending: str, reason: str) -> ValueError:
    shape = "x".join(map(str, pixels.shape))
    return ValueError(f"{pixels.dtype} pixels of shape {shape} cannot be written as {ending!r}: {reason}")
