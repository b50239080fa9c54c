"""JPEG against files written and read by OpenCV and by Pillow."""

import cv2
import numpy as np
import pytest
from picture_sets import random_pixels
from PIL import Image

from ir_plugins.data.compression import compressed


def smooth(height, width, channels=3):
    picture = cv2.GaussianBlur(random_pixels(height, width, channels), (0, 0), 2).astype(int)
    stretched = (4 * (picture - 128) + 128).clip(0, 255).astype(np.uint8)
    return stretched.reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [1, 10, 40, 90, 100])
@pytest.mark.parametrize("h, w", [(37, 53), (1, 1), (1, 23), (16, 8)])
def test_files_say_the_same(tmp_path, h, w, quality, channels):
    pixels = smooth(h, w, channels)
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    cv2.imwrite(f"{tmp_path}/cv2.jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    by_opencv = cv2.imread(f"{tmp_path}/cv2.jpg", flag).reshape(pixels.shape)
    np.testing.assert_array_equal(compressed(pixels, quality), by_opencv)
    np.testing.assert_array_equal(compressed(pixels, quality, "opencv"), by_opencv)

    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels[..., ::-1].copy())
    image.save(tmp_path / "pillow.jpg", quality=quality)
    by_pillow = np.asarray(Image.open(tmp_path / "pillow.jpg")).reshape(pixels.shape)[..., ::-1]
    np.testing.assert_array_equal(compressed(pixels, quality, "libjpeg"), by_pillow)
    np.testing.assert_array_equal(by_opencv, by_pillow)  # with the versions of constraints.txt


def test_a_part_of_a_picture_that_cannot_be_written_to_will_do():
    picture = smooth(41, 43)
    picture.flags.writeable = False
    part = picture[16:32, 16:40]
    for encoder in ("opencv", "libjpeg"):
        np.testing.assert_array_equal(compressed(part, 30, encoder), compressed(part.copy(), 30, encoder))


def test_quality_is_quality():
    pixels = smooth(64, 64)
    errors = [np.abs(compressed(pixels, q).astype(int) - pixels).mean() for q in (5, 10, 30, 60, 95)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 4 * errors[-1]
