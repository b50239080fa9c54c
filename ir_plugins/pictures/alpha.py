"""The alpha channel of a picture, which no network restores: read it, and put it back."""

import io
from contextlib import nullcontext

import cv2
import numpy as np
from PIL import ImageOps

from .looks import header
from .raw import is_raw, view


def alpha_of(content: bytes | memoryview) -> np.ndarray | None:
    """The alpha channel (H, W), uint8, upright as OpenCV shows the colours; None if all is opaque.

    Args:
        content: The bytes of a picture file, or a raw value of an LMDB.
    """
    try:
        if is_raw(content):
            pixels = view(content)
            plane = None if pixels.shape[2] % 2 else pixels[..., -1] >> 8 * (pixels.itemsize - 1)
        else:
            plane = _decoded(content)
    except Exception:  # Pillow raises whatever the bytes lead to; OpenCV has read the colours
        return None
    if plane is None or (plane == 255).all():
        return None
    return np.array(plane, np.uint8)  # torch wants it writable


def _decoded(content: bytes | memoryview) -> np.ndarray | None:
    with header(io.BytesIO(content)) or nullcontext() as image:
        if image is None or not image.has_transparency_data:
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))


def with_alpha(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture with an alpha channel, (H, W, 4).

    Args:
        picture: (H, W, 3), BGR, or (H, W), uint8 or uint16.
        alpha: (h, w), uint8; it is resized if the picture has another size.
    """
    h, w = picture.shape[:2]
    if alpha.shape != (h, w):
        alpha = cv2.resize(alpha, (w, h), interpolation=cv2.INTER_CUBIC)
    alpha = alpha.astype(picture.dtype) * (257 if picture.dtype == np.uint16 else 1)
    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return np.dstack([colours, alpha])
