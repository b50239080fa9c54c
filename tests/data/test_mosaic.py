"""Mosaics against loops over pixels, and the classical estimate against the paper's figure, written out."""

from fractions import Fraction

import numpy as np
import pytest
from picture_sets import random_pixels

from ir_plugins.data.mosaic import PATTERNS, demosaiced, mosaic

SIZES = [(7, 11), (8, 6), (1, 1), (1, 13), (13, 1), (2, 2), (2, 5), (3, 2)]


def letter(pattern, y, x):
    return pattern[2 * (y % 2) + x % 2]


def reflected(n, length):
    """Mirrored at the outermost pixel, which is not repeated; of one pixel there is nothing else."""
    if length == 1:
        return 0
    n %= 2 * (length - 1)
    return min(n, 2 * (length - 1) - n)


def slow(raw, pattern):
    """Malvar, He and Cutler 2004, equations 2 to 6: bilinear, plus a share of the Laplacian of the known."""
    h, w = raw.shape
    out = np.zeros((h, w, 3), int)
    for y in range(h):
        for x in range(w):

            def at(dy, dx, y=y, x=x):
                return Fraction(int(raw[reflected(y + dy, h), reflected(x + dx, w)]))

            near = [at(-1, 0), at(1, 0), at(0, -1), at(0, 1)]
            corners = [at(dy, dx) for dy in (-1, 1) for dx in (-1, 1)]
            far = [at(-2, 0), at(2, 0), at(0, -2), at(0, 2)]
            here, me = at(0, 0), letter(pattern, y, x)
            laplacian = here - sum(far) / 4
            found = {me: here}
            if me == "g":
                # gamma = 5/8 of a Laplacian over nine pixels: four corners and the two pixels along count
                # against, those across for
                in_row = letter(pattern, y, x + 1)
                across_of_row = here - (sum(corners) + at(0, -2) + at(0, 2)) / 5 + (at(-2, 0) + at(2, 0)) / 10
                in_column = letter(pattern, y + 1, x)
                across_of_column = (
                    here - (sum(corners) + at(-2, 0) + at(2, 0)) / 5 + (at(0, -2) + at(0, 2)) / 10
                )
                found[in_row] = (at(0, -1) + at(0, 1)) / 2 + Fraction(5, 8) * across_of_row
                found[in_column] = (at(-1, 0) + at(1, 0)) / 2 + Fraction(5, 8) * across_of_column
            else:
                found["g"] = sum(near) / 4 + Fraction(1, 2) * laplacian
                other = "b" if me == "r" else "r"
                found[other] = sum(corners) / 4 + Fraction(3, 4) * laplacian
            for channel, colour in enumerate("rgb"):
                rounded = (found[colour] + Fraction(1, 2)).__floor__()
                out[y, x, channel] = min(max(rounded, 0), 255)
    return out.astype(np.uint8)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("h, w", SIZES)
def test_a_mosaic_has_one_colour_of_each_pixel(h, w, pattern):
    picture = random_pixels(h, w)
    raw = mosaic(picture, pattern)
    for y in range(h):
        for x in range(w):
            assert raw[y, x] == picture[y, x, "rgb".index(letter(pattern, y, x))]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("h, w", SIZES)
def test_the_estimate_is_the_papers(h, w, pattern):
    raw = random_pixels(h, w, 1, seed=h + w)
    found = demosaiced(raw, pattern)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, slow(raw, pattern))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("h, w", [(7, 11), (2, 2), (2, 5), (3, 2)])
def test_one_colour_is_found_exactly(h, w, pattern):
    # where known and unknown colours differ the correction must still vanish: every kernel's gradient is 0
    picture = np.broadcast_to(np.array([201, 53, 97], np.uint8), (h, w, 3))
    np.testing.assert_array_equal(demosaiced(mosaic(picture, pattern), pattern), picture)


def test_what_was_measured_is_kept():
    picture = random_pixels(9, 13)
    raw = mosaic(picture, "gbrg")
    np.testing.assert_array_equal(mosaic(demosaiced(raw, "gbrg"), "gbrg"), raw)
