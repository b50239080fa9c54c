"""Gray against OpenCV, luma against MATLAB's formula in exact integers."""

import cv2
import numpy as np
import pytest
import torch
from picture_sets import block, random_pixels, save, stored

from ir_plugins.data import JPEGDataset
from ir_plugins.pictures import raw
from ir_plugins.pictures.colour import in_colour, luma


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.png"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_8_bits_are_read_as_opencv_reads_them(file, channels):
    save(file, random_pixels(97, 101, channels))
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED).reshape(97, 101, channels)
    np.testing.assert_array_equal(in_colour(pixels, "rgb"), cv2.imread(str(file)))
    gray = in_colour(pixels, "gray")
    assert gray.shape == (97, 101, 1)
    np.testing.assert_array_equal(gray[..., 0], cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("colour", ["rgb", "gray", "y"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_makes_no_difference_who_reduced_the_file_to_8_bits_of_colour(file, colour, channels, dtype):
    """OpenCV in folders and PNG LMDBs, we in raw ones."""
    save(file, random_pixels(31, 37, channels, dtype))
    stored = raw.view(raw.encode(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)))
    assert stored.dtype == dtype
    flag = cv2.IMREAD_ANYCOLOR if colour == "y" else cv2.IMREAD_COLOR
    decoded = cv2.imread(str(file), flag).reshape(31, 37, -1)
    np.testing.assert_array_equal(in_colour(stored, colour), in_colour(decoded, colour))


@pytest.mark.parametrize("storage", ["disk", "png", "raw"])
def test_gray_files_are_their_own_luma(tmp_path, storage):
    """Classic5's; a colour file that happens to be gray is not."""
    pixels = random_pixels(31, 37, 1).reshape(31, 37, 1)
    gray, tripled = pixels, np.repeat(255 - pixels, 3, axis=2)
    save(tmp_path / "gt/a.png", gray)
    save(tmp_path / "gt/b.png", tripled)
    options = stored({"dataroot_gt": str(tmp_path / "gt")}, storage)
    dataset = JPEGDataset(block(JPEGDataset, **options, color="y", quality=90))
    for item, expected in zip((dataset[0], dataset[1]), (gray, luma(tripled)), strict=True):
        assert torch.equal((item["gt"][0] * 255).round().byte(), torch.from_numpy(expected[..., 0]))


def test_colour_of_8_bits_is_not_copied():
    pixels = random_pixels(3, 5)
    assert np.shares_memory(in_colour(pixels, "rgb"), pixels)
    transparent = random_pixels(3, 5, 4)
    assert np.shares_memory(in_colour(transparent, "rgb"), transparent)


def test_16_bits_are_left_alone():
    pixels = random_pixels(3, 5, dtype=np.uint16)
    assert in_colour(pixels, "rgb", 16) is pixels


def test_luma_is_that_of_matlab_in_every_colour():
    """rgb2ycbcr: 16 + (65.481 R + 128.553 G + 24.966 B) / 255, rounded half up as MATLAB rounds."""
    blue, green = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    for red in range(0, 256, 5):
        pixels = np.stack([blue, green, np.full_like(blue, red)], -1).astype(np.uint8)
        thousands = 65481 * red + 128553 * green + 24966 * blue
        expected = 16 + (thousands + 127500) // 255000
        found = luma(pixels)
        assert found.dtype == np.uint8 and found.shape == (256, 256, 1)
        np.testing.assert_array_equal(found[..., 0], expected)


def test_luma_by_hand():
    colours = {(0, 0, 0): 16, (255, 255, 255): 235, (0, 0, 255): 81, (0, 255, 0): 145, (255, 0, 0): 41}
    for colour, expected in colours.items():
        assert in_colour(np.array([[colour]], np.uint8), "y").item() == expected
