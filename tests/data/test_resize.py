"""`imresize` against its definition in slow loops, BasicSR's float version, and numbers derived by hand."""

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest

from ir_plugins.data.resize import imresize
from ir_plugins.pictures.window import Window

from basicsr.utils.matlab_functions import imresize as basicsr_imresize

SCALES = [
    Fraction(1, 2),
    Fraction(1, 3),
    Fraction(1, 4),
    Fraction(3, 7),
    Fraction(2),
    Fraction(3),
    Fraction(4),
]


def keys(x):
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)


def slow_line(samples, scale):
    """One line of samples, resized in exact fractions: continuous positions, pixel centres at k + 1/2."""
    n = len(samples)
    shrink = min(scale, Fraction(1))
    line = []
    for k in range(math.ceil(n * scale)):
        centre = (k + Fraction(1, 2)) / scale
        total = weight_sum = Fraction(0)
        for j in range(math.floor(centre - 2 / shrink) - 1, math.ceil(centre + 2 / shrink) + 1):
            weight = keys((centre - j - Fraction(1, 2)) * shrink)
            mirrored = j % (2 * n)
            value = samples[mirrored if mirrored < n else 2 * n - 1 - mirrored]
            total += weight * value
            weight_sum += weight
        line.append(total / weight_sum)
    return line


def slow(image, scale, top=None):
    """image: (H, W) of ints.  With `top`, rounded half up and clipped to 0..top after each direction."""

    def lines(rows):
        done = [slow_line(row, scale) for row in rows]
        if top is None:
            return done
        return [[min(max(math.floor(v + Fraction(1, 2)), 0), top) for v in row] for row in done]

    columns = lines([[int(v) for v in column] for column in image.T])
    return np.array(lines([list(row) for row in zip(*columns, strict=True)]), dtype=float)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_floats_follow_the_definition(scale):
    image = np.random.default_rng(3).integers(0, 256, (11, 17))
    found = imresize(image.astype(np.float64), float(scale))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, slow(image, scale), rtol=0, atol=1e-9)


# at these scales the weights are exact in binary, or no sum can be an exact half
@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(4)], ids=str
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_rounded_after_each_direction(scale, dtype):
    top = np.iinfo(dtype).max
    image = np.random.default_rng(5).integers(0, top + 1, (13, 11, 3)).astype(dtype)
    image[:, :3] = 0  # hard edges overshoot on both sides
    image[5:9] = top
    found = imresize(image, float(scale))
    assert found.dtype == dtype and found.shape == (math.ceil(13 * scale), math.ceil(11 * scale), 3)
    for channel in range(3 if scale < 4 else 1):  # the slow way takes seconds
        np.testing.assert_array_equal(found[..., channel], slow(image[..., channel], scale, int(top)))


def test_an_edge_by_hand():
    # halving: the kernel's taps at +-0.5, 1.5, 2.5, 3.5 pixels are 111, 29, -9, -3 of 256, so beside the edge
    # 255 * (29 - 9 - 3) / 256 = 16.9 and 255 * (256 - 17) / 256 = 238.1; further off -3.0 and 258.0 saturate
    edge = np.array([[0, 0, 0, 0, 255, 255, 255, 255]], np.uint8)
    line = [0, 17, 238, 255]
    np.testing.assert_array_equal(imresize(np.repeat(edge, 2, 0), 0.5), [line])
    np.testing.assert_array_equal(imresize(np.repeat(edge.T, 2, 1), 0.5), np.array([line]).T)


def test_rounding_happens_between_the_directions():
    # the rows of the right half become 0, 17, 238 and 258, saturated to 255; only then come the columns:
    # 255 * 239 / 256 = 238 in the last row, but 238 * 259 / 256 = 241 in the last column
    corner = np.zeros((8, 8), np.uint8)
    corner[4:, 4:] = 255
    expected = [[0, 0, 0, 0], [0, 1, 16, 17], [0, 16, 222, 241], [0, 17, 238, 255]]
    np.testing.assert_array_equal(imresize(corner, 0.5), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (2, 29)])
@pytest.mark.parametrize("scale", [0.25, 0.3, 1, 2.5, 4])
def test_size_is_rounded_up_and_a_flat_picture_stays_flat(size, scale):
    found = imresize(np.full(size, 201, np.uint8), scale)
    assert found.shape == (math.ceil(size[0] * scale), math.ceil(size[1] * scale))
    assert (found == 201).all()


def test_scale_one_changes_nothing():
    image = np.random.default_rng(7).integers(0, 256, (19, 23, 3), dtype=np.uint8)
    np.testing.assert_array_equal(imresize(image, 1), image)


def test_input_may_be_a_view_and_is_left_alone():
    image = np.random.default_rng(11).integers(0, 256, (38, 46, 4), dtype=np.uint8)
    before = image.copy()
    view = image[::-2, ::2, 2::-1]
    np.testing.assert_array_equal(imresize(view, 0.5), imresize(view.copy(), 0.5))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_floats_agree_with_basicsr(scale):
    image = np.random.default_rng(13).random((61, 47, 3)).astype(np.float32)
    found = imresize(image, scale)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, basicsr_imresize(image, scale), rtol=0, atol=2e-5)


def test_basicsr_is_one_level_off_on_integers():
    # why the project has its own: BasicSR rounds once, MATLAB, which made the benchmarks, twice
    noise = np.random.default_rng(17).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 1.5)  # as smooth as a photograph
    once = np.clip(basicsr_imresize(image / np.float32(255), 1 / 2) * 255, 0, 255).round()
    off = np.abs(once - imresize(image, 1 / 2))
    assert off.max() == 1
    assert 0.10 < off.mean() < 0.18


@pytest.mark.parametrize(
    "image, scale, says",
    [
        (np.zeros((2, 2, 2, 2), np.uint8), 2, "shape"),
        (np.zeros((0, 2), np.uint8), 2, "shape"),
        (np.zeros((2, 2), np.int32), 2, "int32"),
        (np.zeros((2, 2), np.uint8), 0, "scale=0"),
        (np.zeros((2, 2), np.uint8), math.inf, "scale=inf"),
    ],
)
def test_refuses(image, scale, says):
    with pytest.raises(ValueError, match=says):
        imresize(image, scale)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 3 / 7, 2])
def test_a_window_is_what_the_whole_result_shows_there(scale):
    image = np.random.default_rng(19).integers(0, 256, (29, 37, 3), dtype=np.uint8)
    whole = imresize(image, scale)
    h, w, _ = whole.shape
    for height, width in ((1, 1), (3, 5), (h, 2), (h, w)):
        for top in range(0, h - height + 1):
            for left in (0, (w - width) // 2, w - width):
                window = Window(top, left, height, width)
                np.testing.assert_array_equal(imresize(image, scale, window), window.cut(whole))


def test_of_a_window_only_what_it_is_made_from_is_looked_at():
    image, seen = np.zeros((101, 211, 3), np.uint8), []

    def prepared(part):
        assert np.shares_memory(part, image)
        seen.append(part.shape)
        return part[..., :1]

    found = imresize(image, 1 / 4, Window(7, 11, 3, 5), prepared=prepared)
    assert found.shape == (3, 5, 1)
    # the kernel spans 4 / scale pixels
    assert seen == [(8 + 16, 16 + 16, 3)]


@pytest.mark.parametrize("scale", range(2, 9))
def test_a_multiple_of_the_scale_becomes_exactly_that_much_smaller(scale):
    for length in (*range(1, 700), 4093):
        assert math.ceil(length * scale * (1 / scale)) == length
