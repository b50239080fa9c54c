"""The pictures of a training report: made small, encoded, and described for the page."""

import base64
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..models.samples import Sample
from ..pictures.writing import encoded

MOST_PIXELS = 1_000_000  # pixels of a picture
BUDGET = 3_000_000  # bytes of all pictures together; base64 adds a third
LEAST_PIXELS = 64 * 64  # pixels of a picture at least
TIMES = "\N{MULTIPLICATION SIGN}"
KINDS = {"lq": "LQ", "result": "Result", "gt": "GT"}
PAIRS = (("lq", "result"), ("result", "gt"), ("lq", "gt"))


class Figure(NamedTuple):
    """A sample as the page shows it.

    Args:
        name: Name of the picture.
        note: Its dataset, its size and what was done to it, in words.
        height: Height of the result, in pixels.
        width: Width of the result, in pixels.
        sources: By kind, the picture as a data URL.
        pairs: The kinds that can be compared, left and right; the first pair is shown first.
    """

    name: str
    note: str
    height: int
    width: int
    sources: dict[str, str]
    pairs: list[tuple[str, str]]

    def side(self, kind: str) -> str:
        """Where a picture is shown first: left, right or none."""
        return dict(zip(self.pairs[0], ("left", "right"), strict=True)).get(kind, "none")


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """A figure for each sample; all files together are small enough for a mail."""
    return [_figure(sample, BUDGET / len(samples)) for sample in samples]


def fit(sample: Sample, pixels: float) -> tuple[dict[str, np.ndarray], str]:
    """The pictures of a sample, made small enough.

    All are cut around the centre if the larger ones are whole multiples of LQ, otherwise scaled.

    Args:
        sample: Its pictures are (H, W, C), uint8, RGB.
        pixels: How many pixels the result may have.

    Returns:
        The pictures by kind, and what was done to them in words, '' for nothing.
    """
    pictures = {kind: picture for kind in KINDS if (picture := getattr(sample, kind)) is not None}
    h, w = sample.lq.shape[:2]
    result = sample.result.shape[:2]
    if math.prod(result) <= pixels:
        return pictures, ""
    keep = math.sqrt(pixels / math.prod(result))
    height, width = max(1, int(h * keep)), max(1, int(w * keep))
    top, left = (h - height) // 2, (w - width) // 2
    cut: dict[str, np.ndarray] = {}
    for kind, picture in pictures.items():
        times = picture.shape[0] // h
        if picture.shape[:2] != (h * times, w * times):
            break
        cut[kind] = picture[top * times : (top + height) * times, left * times : (left + width) * times]
    else:
        return cut, f"centre crop, {_size(cut['result'])} of {_size(sample.result)} pixels"
    scaled = {kind: _scale(picture, keep) for kind, picture in pictures.items()}
    return scaled, f"scaled to {_size(scaled['result'])} from {_size(sample.result)} pixels"


def encode(picture: np.ndarray) -> tuple[str, bytes]:
    """The smaller file of PNG and JPEG at quality 90 with full-resolution colours.

    Args:
        picture: (H, W, 3), RGB, or (H, W, 1), uint8.

    Returns:
        "png" or "jpeg", and the bytes of the file.
    """
    bgr = picture[..., ::-1]
    files = {"png": encoded(bgr), "jpeg": encoded(bgr, ".jpeg", quality=90, full_colour=True)}
    return min(files.items(), key=lambda item: len(item[1]))


def _figure(sample: Sample, budget: float) -> Figure:
    pixels = min(MOST_PIXELS, math.prod(sample.result.shape[:2]))
    while True:
        pictures, done = fit(sample, pixels)
        files = {kind: encode(picture) for kind, picture in pictures.items()}
        size = sum(len(file) for _, file in files.values())
        if size <= budget or pixels <= LEAST_PIXELS:
            break
        pixels = max(LEAST_PIXELS, 0.9 * pixels * budget / size)

    h, w = pictures["result"].shape[:2]
    notes = [sample.dataset, done or f"{_size(sample.result)} pixels"]
    if (times := w / pictures["lq"].shape[1]) > 1:
        notes.append(f"LQ enlarged {TIMES}{times:.3g}")
    sources = {
        kind: f"data:image/{ending};base64,{base64.b64encode(file).decode()}"
        for kind, (ending, file) in files.items()
    }
    pairs = [(left, right) for left, right in PAIRS if left in files and right in files]
    return Figure(sample.name, " · ".join(notes), h, w, sources, pairs)


def _scale(picture: np.ndarray, factor: float) -> np.ndarray:
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    # OpenCV drops a single channel
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} {TIMES} {picture.shape[0]}"
