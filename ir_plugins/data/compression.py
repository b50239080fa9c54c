"""JPEG compression and decompression."""

import io

import cv2
import numpy as np
from PIL import Image

from ..pictures.writing import encoded

GRID = 16  # pixels: two blocks of 8, as colours are stored at half the resolution


def compressed(pixels: np.ndarray, quality: int, encoder: str = "opencv") -> np.ndarray:
    """A picture after JPEG compression, in the same shape; colours have half the resolution.

    Args:
        pixels: (H, W, 3), BGR, or (H, W, 1), uint8.
        quality: As the IJG's libjpeg counts it, 1 to 100.
        encoder: "opencv" or "libjpeg", which is Pillow's.
    """
    if encoder == "libjpeg":
        file = io.BytesIO()
        picture = pixels[..., ::-1] if pixels.shape[2] == 3 else pixels
        Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(
            file, "JPEG", quality=quality
        )
        with Image.open(file) as image:
            decoded = np.asarray(image)
        return decoded[..., ::-1] if decoded.ndim == 3 else decoded[..., None]
    content = encoded(pixels, ".jpg", quality=quality)
    decoded = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))
    return decoded if decoded.ndim == 3 else decoded[..., None]
