"""The pictures of a training report: cut to a size, encoded, and made into a figure with a wipe."""

import base64
import math
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from ..models.samples import Sample
from ..pictures.writing import encoded

LARGEST = 1_000_000  # pixels of a picture
BUDGET = 3_000_000  # bytes of all pictures together, before base64 adds a third
SMALLEST = 64 * 64  # pixels that are shown at any cost
NARROW = 640  # px up to which two figures fit side by side
TIMES = "\N{MULTIPLICATION SIGN}"
KINDS = {"lq": "LQ", "result": "Result", "gt": "GT"}
PAIRS = (("lq", "result"), ("result", "gt"), ("lq", "gt"))

Pictures = dict[str, np.ndarray]


def figures(samples: Sequence[Sample]) -> str:
    """A <figure> per sample, all of them together no larger than a mail would carry."""
    return "".join(_figure(sample, BUDGET / len(samples)) for sample in samples)


def fit(sample: Sample, pixels: float) -> tuple[Pictures, str]:
    """The pictures of a sample, the result of at most so many pixels, and what was done to them, if anything.

    They are cut alike around the centre where the larger ones are whole multiples of LQ, else scaled.
    """
    pictures = {kind: picture for kind in KINDS if (picture := getattr(sample, kind)) is not None}
    h, w = sample.lq.shape[:2]
    result = sample.result.shape[:2]
    if math.prod(result) <= pixels:
        return pictures, ""
    keep = math.sqrt(pixels / math.prod(result))
    height, width = max(1, int(h * keep)), max(1, int(w * keep))
    top, left = (h - height) // 2, (w - width) // 2
    cut: Pictures = {}
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
    """("png" or "jpeg", its bytes), whichever is smaller; JPEG at quality 90, colours at full resolution."""
    bgr = picture[..., ::-1]
    files = {"png": encoded(bgr), "jpeg": encoded(bgr, ".jpeg", quality=90, full_colour=True)}
    return min(files.items(), key=lambda item: len(item[1]))


def _figure(sample: Sample, budget: float) -> str:
    pixels = min(LARGEST, math.prod(sample.result.shape[:2]))
    while True:
        pictures, done = fit(sample, pixels)
        files = {kind: encode(picture) for kind, picture in pictures.items()}
        size = sum(len(file) for _, file in files.values())
        if size <= budget or pixels <= SMALLEST:
            break
        pixels = max(SMALLEST, 0.9 * pixels * budget / size)

    h, w = pictures["result"].shape[:2]
    facts = [sample.dataset, done or f"{_size(sample.result)} pixels"]
    if (times := w / pictures["lq"].shape[1]) > 1:
        facts.append(f"LQ enlarged {TIMES}{times:.3g}")
    name, facts = escape(sample.name), escape(" · ".join(facts))
    images = "".join(_image(kind, *files[kind], name) for kind in files)
    pairs = [(left, right) for left, right in PAIRS if left in files and right in files]
    buttons = "".join(_button(*pair, pressed=pair == PAIRS[0]) for pair in pairs)
    return (
        f'<figure class="compare{" wide" if w > NARROW else ""}">'
        f'<figcaption><span class="title">{name}</span><span class="note">{facts}</span></figcaption>'
        f'<div class="pairs" role="group" aria-label="Pictures to compare">{buttons}</div>'
        f'<div class="stage" style="--w:{w};--h:{h}">{images}'
        '<span class="tag left"></span><span class="tag right"></span><span class="divider"></span>'
        f'<input type="range" min="0" max="100" step="0.5" value="50" autocomplete="off" aria-label="{name}: '
        'move the border between the two pictures"></div></figure>'
    )


def _image(kind: str, ending: str, file: bytes, name: str) -> str:
    side = dict(zip(PAIRS[0], ("left", "right"), strict=True)).get(kind, "none")
    source = f"data:image/{ending};base64,{base64.b64encode(file).decode()}"
    return f'<img data-kind="{kind}" data-side="{side}" alt="{KINDS[kind]} of {name}" src="{source}">'


def _button(left: str, right: str, *, pressed: bool) -> str:
    sides = f'data-left="{left}" data-right="{right}"'
    return f'<button {sides} aria-pressed="{str(pressed).lower()}">{KINDS[left]} | {KINDS[right]}</button>'


def _scale(picture: np.ndarray, factor: float) -> np.ndarray:
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    # OpenCV drops a single channel
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} {TIMES} {picture.shape[0]}"
