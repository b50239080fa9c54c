"""Pictures of a validation for people to look at."""

from typing import NamedTuple

import cv2
import numpy as np


class Sample(NamedTuple):
    """One picture before and after restoring, and as it should be.

    Args:
        dataset: Its dataset's name.
        name: Its name.
        lq: (h, w, 3) or (h, w, 1), uint8, RGB; it may be smaller than the result.
        result: (H, W, 3) or (H, W, 1), uint8, RGB.
        gt: Like `result`; None if there is no GT.
    """

    dataset: str
    name: str
    lq: np.ndarray
    result: np.ndarray
    gt: np.ndarray | None


def strip(sample: Sample) -> np.ndarray:
    """LQ, result and GT side by side (H, 3 W, 3), LQ enlarged to the result's size pixel by pixel."""
    h, w = sample.result.shape[:2]
    pictures = [cv2.resize(sample.lq, (w, h), interpolation=cv2.INTER_NEAREST), sample.result]
    if sample.gt is not None:
        pictures.append(sample.gt)
    return np.hstack([np.broadcast_to(p.reshape(h, w, -1), (h, w, 3)) for p in pictures])
