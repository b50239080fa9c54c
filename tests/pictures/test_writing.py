"""The one way to write a picture: OpenCV's bytes, pixels that come back, and files that are whole."""

import cv2
import numpy as np
import pytest
from PIL import Image

from ir_plugins.pictures.writing import QUICK_PNG, encoded, write_picture

JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
FULL = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (11, 3, 3), (2, 13, 4)])
@pytest.mark.parametrize("ending", [".png", ".tif", ".PNG"])
def test_every_kind_of_picture_comes_back(shape, dtype, ending):
    pixels = noise(*shape, dtype=dtype)
    back = cv2.imdecode(np.frombuffer(encoded(pixels, ending), np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == dtype and np.array_equal(back, pixels.squeeze(2) if shape[2:] == (1,) else pixels)


@pytest.mark.parametrize(
    "ending, how, theirs",
    [
        (".png", {}, []),
        (".png", {"level": QUICK_PNG}, [cv2.IMWRITE_PNG_COMPRESSION, 1]),
        (".jpg", {}, []),
        (".jpeg", {"quality": 90}, JPEG),
        (".jpg", {"quality": 90, "full_colour": True}, JPEG + FULL),
    ],
)
def test_the_bytes_are_opencvs(ending, how, theirs):
    pixels = cv2.GaussianBlur(noise(31, 45, 3), (0, 0), 2)
    assert encoded(pixels, ending, **how) == cv2.imencode(ending, pixels, theirs)[1].tobytes()
    # a view whose channels are turned round is written as it looks
    assert encoded(pixels[..., ::-1], ending, **how) == encoded(pixels[..., ::-1].copy(), ending, **how)


@pytest.mark.parametrize(
    "pixels, ending, says",
    [
        (
            noise(5, 7, 3).astype(np.float32),
            ".png",
            "float32 pixels of shape 5x7x3 cannot be written as '.png'",
        ),
        (noise(5, 7, 3, dtype=np.uint16), ".jpg", "give uint8, "),
        (noise(5, 7, 2), ".png", "5x7x2"),
        (noise(5, 7, 5), ".png", "5x7x5"),
        (noise(5), ".png", "give uint8 or uint16, "),
        (noise(0, 7, 3), ".png", "0x7x3"),
        (noise(5, 7, 3), ".docx", "'.docx'"),
        (noise(5, 7, 3), "", "''"),
    ],
)
def test_what_cannot_be_written_is_named(pixels, ending, says):
    with pytest.raises(ValueError) as caught:
        encoded(pixels, ending)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_refusal_leaves_the_former_file(tmp_path):
    file = tmp_path / "new/a.png"
    write_picture(file, noise(5, 7, 3))
    before = file.read_bytes()
    with pytest.raises(ValueError):
        write_picture(file, noise(5, 7, 3).astype(bool))
    write_picture(tmp_path / "new/b.jpg", noise(5, 7), quality=3, durable=True)
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.png", "b.jpg"]
    assert Image.open(tmp_path / "new/b.jpg").format == "JPEG"
