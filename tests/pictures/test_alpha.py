"""Alpha channels against Pillow, upright as the colours."""

import io
import struct

import cv2
import numpy as np
import pytest
from picture_sets import random_pixels
from PIL import Image

from ir_plugins.pictures.alpha import alpha_of, with_alpha
from ir_plugins.pictures.raw import encode


def bytes_of(image, form="png", **how):
    stream = io.BytesIO()
    image.save(stream, form, **how)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["png", "webp", "tiff"])
def test_alpha_is_upright(form):
    pixels = random_pixels(5, 7, 4)
    pixels[..., 3] |= 1  # webp drops the colour of what is not seen
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    how = {"lossless": True} if form == "webp" else {}
    content = bytes_of(Image.fromarray(pixels), form, exif=exif, **how)
    colours = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(alpha_of(content), np.rot90(pixels[..., 3], -1))
    if form != "tiff":  # OpenCV multiplies the colours of a TIFF by alpha
        np.testing.assert_array_equal(colours[..., ::-1], np.rot90(pixels[..., :3], -1))


def test_other_kinds_of_alpha():
    gray = random_pixels(5, 7, 1)
    content = bytes_of(Image.fromarray(gray), transparency=int(gray[2, 3]))
    np.testing.assert_array_equal(alpha_of(content), np.where(gray == gray[2, 3], 0, 255))
    deep = random_pixels(5, 7, 4, np.uint16)
    np.testing.assert_array_equal(alpha_of(encode(deep)), deep[..., 3] >> 8)
    np.testing.assert_array_equal(alpha_of(cv2.imencode(".png", deep)[1].tobytes()), deep[..., 3] >> 8)


def test_nothing_to_keep():
    pixels = random_pixels(5, 7, 4)
    pixels[..., 3] = 255
    for content in (bytes_of(Image.fromarray(pixels)), encode(pixels), encode(random_pixels(5, 7)), b"x"):
        assert alpha_of(content) is None


def test_an_odd_exif_block_ends_no_test():
    entries = struct.pack(">HHHIHxxHHII", 2, 0x112, 3, 1, 6, 0x11A, 7, 1, 50)  # a number as bytes
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entries + struct.pack(">III", 0, 7, 2)
    assert alpha_of(bytes_of(Image.fromarray(random_pixels(5, 7, 4)), exif=exif)) is None


@pytest.mark.parametrize("dtype, white", [(np.uint8, 255), (np.uint16, 65535)])
def test_alpha_goes_with_the_result(dtype, white):
    alpha = np.array([[0, 255], [0, 255]], np.uint8)
    gray = random_pixels(2, 2, 1, dtype)
    found = with_alpha(gray, alpha)
    assert found.dtype == dtype and found.shape == (2, 2, 4)
    assert (found[..., :3] == gray[..., None]).all() and found[..., 3].tolist() == [[0, white]] * 2
    larger = with_alpha(random_pixels(8, 8, 3, dtype), alpha)[..., 3]
    assert larger.shape == (8, 8) and larger[:, 0].max() == 0 and larger[:, -1].min() == white
