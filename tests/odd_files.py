"""Files that are no regular files, and pictures whose headers promise more than anybody can decode."""

import contextlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

ODD = {"a named pipe": os.mkfifo, "a device": lambda path: os.symlink("/dev/zero", path)}
odd_kinds = pytest.mark.parametrize("kind", ODD)


@contextlib.contextmanager
def odd_file(path, kind):
    """A pipe or device in the place of a file; who waits for the pipe gets nothing, after five seconds."""
    path = Path(path)
    path.unlink(missing_ok=True)
    ODD[kind](path)
    if kind != "a named pipe":
        yield path
        return
    timer = threading.Timer(5, lambda: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK)))
    timer.start()
    try:
        yield path
        assert timer.is_alive(), "it waited for the pipe"
    finally:
        timer.cancel()


def png_header(height, width):
    """A PNG of that size by its header, with pixels for one line of 33."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def _patched(ending, where, form, *numbers):
    data = bytearray(cv2.imencode(ending, np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    struct.pack_into(form, data, where(data), *numbers)
    return bytes(data)


def _gif():
    file = io.BytesIO()
    Image.new("P", (4, 4)).save(file, "GIF")
    data = bytearray(file.getvalue())
    struct.pack_into("<HH", data, 6, 65535, 65535)
    return bytes(data)


HUGE = {
    "many.png": (png_header(40000, 40000), "40000x40000 pixels, and OpenCV decodes up to 1073741824"),
    "wide.png": (png_header(2, 1 << 21), "2x2097152 pixels, and OpenCV decodes sides up to 1048576"),
    "many.jpg": (
        _patched(".jpg", lambda data: data.index(b"\xff\xc0") + 5, ">HH", 65500, 65500),
        "65500x65500",
    ),
    "many.bmp": (_patched(".bmp", lambda data: 18, "<ii", 40000, 40000), "40000x40000 pixels"),
    "many.gif": (_gif(), "65535x65535 pixels"),
    "many.ppm": (b"P6\n40000 40000\n255\n" + bytes(100), "40000x40000 pixels"),
}
