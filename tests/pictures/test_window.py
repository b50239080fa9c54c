"""Windows against slices and loops written out; turns against BasicSR's augment."""

import random
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from picture_sets import random_pixels

from ir_plugins.data.datasets.paired import PairedDataset
from ir_plugins.pictures.window import Window, augmented, padded, to_tensor

from basicsr.data.transforms import augment


def test_a_window_is_a_view():
    picture = random_pixels(11, 13)
    cut = Window(2, 3, 5, 7).cut(picture)
    np.testing.assert_array_equal(cut, picture[2:7, 3:10])
    assert cut.base is picture
    assert Window(2, 3, 5, 7).times(3) == (6, 9, 15, 21)


@pytest.mark.parametrize("h, w", [(41, 53), (17, 16), (1, 1)])
def test_around_begins_on_the_grid_and_keeps_the_margin(h, w):
    picture = random_pixels(h, w)
    for top in range(0, h, 3):
        for left in range(0, w, 5):
            window = Window(top, left, min(7, h - top), min(3, w - left))
            around = window.around(h, w, grid=8, margin=5)
            assert around.top % 8 == around.left % 8 == 0
            assert around.top <= max(0, top - 5) and around.left <= max(0, left - 5)
            bottom, right = around.top + around.height, around.left + around.width
            assert min(h, top + window.height + 5) <= bottom <= h
            assert min(w, left + window.width + 5) <= right <= w
            assert bottom % 8 == 0 or bottom == h
            np.testing.assert_array_equal(window.inside(around).cut(around.cut(picture)), window.cut(picture))


@pytest.mark.parametrize("h, w, side", [(3, 5, 7), (1, 1, 5), (2, 11, 7), (11, 2, 7), (1, 13, 3)])
def test_a_small_picture_is_reflected(h, w, side):
    picture = random_pixels(h, w)
    filled = padded(picture, side)
    assert filled.shape == (max(h, side), max(w, side), 3)
    for y in range(filled.shape[0]):
        for x in range(filled.shape[1]):
            mirrored_y, mirrored_x = y % (2 * h), x % (2 * w)  # at the outer edge of the outermost pixel
            mirrored_y = mirrored_y if mirrored_y < h else 2 * h - 1 - mirrored_y
            mirrored_x = mirrored_x if mirrored_x < w else 2 * w - 1 - mirrored_x
            np.testing.assert_array_equal(filled[y, x], picture[mirrored_y, mirrored_x])


def test_a_large_picture_stays_itself():
    picture = random_pixels(7, 11)
    assert padded(picture, 7) is picture


def test_turns_are_quarters_and_then_a_mirror():
    picture = random_pixels(2, 3)
    for quarters in range(4):
        plain = np.rot90(picture, quarters)
        np.testing.assert_array_equal(augmented(picture, quarters, mirrored=False), plain)
        np.testing.assert_array_equal(augmented(picture, quarters, mirrored=True), plain[:, ::-1])
    assert augmented(picture, 0, mirrored=False) is picture


class Square(PairedDataset):
    """Nothing but the options that a turn looks at."""

    def __init__(self, hflip, rotate):
        self.opt = {"phase": "train", "use_hflip": hflip, "use_rot": rotate}


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
def test_the_same_random_numbers_turn_a_picture_as_in_basicsr(hflip, rotate):
    picture, dataset, counts = random_pixels(3, 5), Square(hflip, rotate), Counter()
    for _ in range(800):
        state = random.getstate()
        theirs = augment(picture.copy(), hflip, rotate)
        after = random.getstate()
        random.setstate(state)
        quarters, mirrored = dataset.augmentation()
        ours = augmented(picture, quarters, mirrored=mirrored)
        np.testing.assert_array_equal(ours, theirs)
        assert random.getstate() == after  # as many were drawn
        counts[ours.tobytes(), ours.shape] += 1
    expected = (1 + hflip) * (1 + 3 * rotate) if not (hflip and rotate) else 8
    assert len(counts) == expected
    assert min(counts.values()) > 0.7 * 800 / expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tensors_are_rgb_in_0_to_1(channels, dtype):
    picture = random_pixels(5, 7, channels, dtype).reshape(5, 7, channels)
    tensor = to_tensor(augmented(picture, 3, mirrored=True))
    assert tensor.dtype == torch.float32 and tensor.shape == (channels, 7, 5)
    assert tensor.is_contiguous()
    expected = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE).reshape(7, 5, channels)[:, ::-1]
    for channel in range(channels):
        of_file = expected[..., channels - 1 - channel] / np.float32(np.iinfo(dtype).max)
        np.testing.assert_array_equal(tensor[channel].numpy(), of_file.astype(np.float32))


def test_a_gray_picture_may_have_been_filled_up():
    """Its last axis, of one, then has a stride of its own."""
    picture = padded(random_pixels(2, 3, 1)[..., None], 5)
    np.testing.assert_array_equal(to_tensor(picture)[0].numpy() * 255, picture[..., 0])
