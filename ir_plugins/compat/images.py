"""Repairs of how basicsr reads, compresses and filters pictures."""

from __future__ import annotations

import errno
import functools
import os
from typing import Any

import cv2
import numpy as np

from ..pictures.looks import picture_bytes, why_undecodable
from ..pictures.raw import decoding_raw
from ..pictures.store import UNDECODABLE, undecodable
from ..pictures.writing import encoded
from ..runtime.errors import UserError
from ..runtime.regular import reason_of
from ..runtime.storage import written_whole
from .rebinding import rebind


def round_jpeg_quality() -> None:
    """`cv2.error: ... Can't parse 'params'. Sequence item with index 1 has a wrong type`.

    Concerns OpenCV 4 and 5, which want an integer JPEG quality; OpenCV 5 also warns of float pixels
    (`Unsupported depth image`).  Delete when basicsr.data.degradations passes integers.
    """
    from basicsr.data import degradations

    original: Any = degradations.add_jpg_compression
    try:
        original(np.zeros((8, 8, 3), np.float32), quality=90.0)
        return
    except (cv2.error, TypeError):
        pass

    @functools.wraps(original)
    def add_jpg_compression(img: np.ndarray, quality: float = 90) -> np.ndarray:
        # rint: how OpenCV itself used to convert float pixels
        pixels = np.rint(np.clip(img, 0, 1) * 255.0).astype(np.uint8)
        content = np.frombuffer(encoded(pixels, ".jpg", quality=round(quality)), np.uint8)
        return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.float32) / 255.0

    rebind(original, add_jpg_compression)


def name_unreadable_images() -> None:
    """`AttributeError: 'NoneType' object has no attribute 'astype'` on a truncated, empty or foreign file.

    Concerns any basicsr: `imfrombytes` does not check OpenCV's result and does not know the file's name.
    Delete when its own error names the file.
    """
    from basicsr.utils import file_client, img_util

    decode, read = img_util.imfrombytes, file_client.HardDiskBackend.get
    try:
        decode(b"no image")
    except ValueError:  # it complains already
        return

    @functools.wraps(read)
    def get(self: Any, filepath: Any) -> SourcedBytes:
        try:
            return SourcedBytes.of(picture_bytes(filepath), str(filepath))
        except OSError as error:
            raise UserError(f"{filepath} cannot be read: {reason_of(error)}; mend or remove it") from None

    @functools.wraps(decode)
    def imfrombytes(content: bytes, flag: str = "color", float32: bool = False) -> np.ndarray:
        error = None
        try:
            img = decode(content, flag)
        except cv2.error as caught:
            img, error = None, caught
        if img is None:
            source = getattr(content, "source", "what was read")
            raise undecodable(source, content, why_undecodable(content, error, UNDECODABLE))
        return img.astype(np.float32) / 255.0 if float32 else img

    file_client.HardDiskBackend.get = get
    rebind(decode, imfrombytes)


def read_raw_pixels() -> None:
    """OpenCV cannot decode the pixels that `basicsr lmdb --codec raw` stores.

    Concerns every dataset of BasicSR.  Stays.
    """
    from basicsr.utils import img_util

    if not hasattr(img_util.imfrombytes, "reads_raw"):
        rebind(img_util.imfrombytes, decoding_raw(img_util.imfrombytes))


def write_pictures_whole() -> None:
    """A full disk: an empty picture without a word, or `OSError: Failed in writing images.` of no file.

    Concerns OpenCV 4 and 5, whose `imwrite` does not look whether small files reach the disk, and BasicSR's
    models, which save by it.  Delete when basicsr writes the bytes itself.
    """
    from basicsr.utils import img_util

    original: Any = img_util.imwrite
    if hasattr(original, "writes_whole"):
        return

    @functools.wraps(original)
    def imwrite(img: np.ndarray, file_path: str, params: Any = None, auto_mkdir: bool = True) -> None:
        done, content = cv2.imencode(os.path.splitext(file_path)[1], img, params or [])
        if not done:
            raise OSError(errno.EINVAL, "OpenCV cannot encode the picture", str(file_path))
        with written_whole(file_path, durable=False) as file:
            file.write(content.tobytes())

    imwrite.writes_whole = True  # pyright: ignore[reportFunctionMemberAccess]
    rebind(original, imwrite)


def view_pictures_in_any_memory() -> None:
    """`RuntimeError: view size is not compatible with input tensor's size and stride`.

    Concerns any basicsr: VGGStyleDiscriminator and filter2D cannot take pictures in channels-last memory.
    Our nets make them, and BasicSR's own loader does with `num_worker_per_gpu: 0`.  Delete when both
    reshape instead.
    """
    import torch

    from basicsr.archs.discriminator_arch import VGGStyleDiscriminator
    from basicsr.utils import img_process_util

    original: Any = img_process_util.filter2D
    pictures = torch.zeros(2, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    try:
        original(pictures, torch.zeros(2, 3, 3))
        return
    except RuntimeError:
        pass

    @functools.wraps(original)
    def filter2D(img: Any, kernel: Any) -> Any:
        return original(img.contiguous(), kernel)

    forward = VGGStyleDiscriminator.forward

    @functools.wraps(forward)
    def forward_contiguous(self: Any, x: Any) -> Any:
        return forward(self, x.contiguous())

    VGGStyleDiscriminator.forward = forward_contiguous
    rebind(original, filter2D)


class SourcedBytes(bytes):
    """The content of an image file, and its place, which the decoder's error message names."""

    source: str

    @classmethod
    def of(cls, content: Any, source: str) -> SourcedBytes:
        sourced = cls(content)
        sourced.source = source
        return sourced
