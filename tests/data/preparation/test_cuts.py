"""Crop grids as published, and DPDD's filter beside a slow way that shares nothing with ours."""

import numpy as np
import pytest
from layouts import picture
from scipy.ndimage import correlate1d

from ir_plugins.data.preparation.cuts import Centre, Grid, grid, sharpness
from ir_plugins.data.preparation.presets import PRESETS


def grid_of(preset):
    return PRESETS[preset].parts[0].cut


@pytest.mark.parametrize(
    "preset, size, rows, columns",
    [
        ("GoPro", (720, 1280), [0, 208], [0, 256, 512, 768]),
        ("SIDD", (3000, 5328), [*range(0, 2488, 384), 2488], [*range(0, 4816, 384), 4816]),
        ("SIDD", (896, 897), [0, 384], [0, 384, 385]),  # exactly filled, and one pixel more
        ("DFWB", (801, 1356), [0, 289], [0, 416, 832, 844]),
        ("DPDD", (1120, 1680), [0, 204, 408, 608], [0, 204, 408, 612, 816, 1020, 1168]),
        ("GoPro", (512, 513), [0], [0, 1]),
    ],
)
def test_published_grids(preset, size, rows, columns):
    windows = grid_of(preset).windows(*size)
    assert windows == [(top, left, 512, 512) for top in rows for left in columns]


def test_counts_that_are_published():
    assert len(grid_of("GoPro").sizes("x", 720, 1280)) == 8
    assert len(grid_of("DPDD").sizes("x", 1120, 1680)) == 20
    assert [*grid_of("DPDD").sizes("x", 1120, 1680)] == [f"x-{n}.png" for n in range(1, 21)]


@pytest.mark.parametrize(
    "preset, size", [("GoPro", (511, 900)), ("SIDD", (900, 511)), ("DFWB", (800, 2040)), ("DPDD", (3, 5))]
)
def test_small_pictures_stay_whole(preset, size):
    assert grid_of(preset).windows(*size) == [(0, 0, *size)]
    assert grid_of(preset).sizes("x", *size) == {"x-1.png": size}


@pytest.mark.parametrize("spare, rows", [(0, [0, 24, 37]), (12, [0, 24, 37]), (13, [0, 24])])
def test_what_may_stay_uncovered(spare, rows):
    windows = grid(85, 41, size=48, step=24, spare=spare)
    assert windows == [(top, 0, 48, 41) for top in rows]


@pytest.mark.parametrize("height, width", [(97, 131), (48, 49), (72, 96), (311, 48)])
def test_a_grid_covers_all_and_only_the_last_squares_leave_it(height, width):
    covered = np.zeros((height, width), int)
    windows = grid(height, width, size=48, step=24)
    for window in windows:
        window.cut(covered)[:] += 1
        assert window.top % 24 == 0 or window.top == height - 48
        assert window.left % 24 == 0 or window.left == width - 48
    assert covered.all() and len(set(windows)) == len(windows) and windows == sorted(windows)


def test_centre():
    assert Centre(256).windows(720, 1281) == [(232, 512, 256, 256)]
    assert Centre(256).windows(255, 700) == [(0, 0, 255, 700)]
    assert Centre(256).sizes("x", 720, 1281) == {"x.png": (256, 256)}


def slow_sobel(gray, kernel):
    """Summed magnitude of the gradient, from Pascal's triangle; borders mirror without the edge pixel."""
    smooth, rise = np.ones(1), np.array([-1.0, 0.0, 1.0])
    for _ in range(kernel - 1):
        smooth = np.convolve(smooth, [1, 1])
    for _ in range(kernel - 3):
        rise = np.convolve(rise, [1, 1])
    across = correlate1d(correlate1d(gray, smooth, axis=0, mode="mirror"), rise, axis=1, mode="mirror")
    down = correlate1d(correlate1d(gray, rise, axis=0, mode="mirror"), smooth, axis=1, mode="mirror")
    return np.hypot(across, down).sum()


def slow_removal(crops, count):
    """Indices that stay: `count` times the smallest product is taken away."""
    product = 1.0
    for kernel in (3, 7, 11, 15):
        # OpenCV's integer weights of R, G and B
        grays = [np.round(crop[..., ::-1].astype(float) @ (4899, 9617, 1868) / 16384) for crop in crops]
        sums = np.array([slow_sobel(gray, kernel) for gray in grays])
        product = product * (sums - sums.min()) / (sums - sums.min()).max()
    left = list(range(len(crops)))
    for _ in range(count):
        left.remove(min(left, key=lambda index: product[index]))
    return left, product


def test_sharpness_filter_beside_a_slow_one():
    # a picture whose sharpness changes across it
    base = picture("sharp", (112, 168), bits=16).astype(float)
    fade = np.linspace(0.1, 1, 168)[None, :, None] * np.linspace(1, 0.3, 112)[:, None, None]
    sharp = np.round(20000 + (base - 32768) * fade * 0.5).astype(np.uint16)
    views = [picture(view, (112, 168), bits=16) for view in "lrc"]
    grid = Grid(51, 20, drop=0.3)
    windows = grid.windows(112, 168)
    crops = [sharp[t : t + h, x : x + w] for t, x, h, w in windows]
    kept, product = slow_removal(crops, int(0.3 * len(crops)))
    np.testing.assert_allclose(sharpness(crops), product, rtol=1e-3, atol=1e-6)

    found = list(grid.cut([*views, sharp]))
    assert len(found) == 4 * len(kept) and len(kept) == len(grid.sizes("x", 112, 168)) < len(windows)
    expected = [p[t : t + h, x : x + w] for p in (*views, sharp) for t, x, h, w in (windows[i] for i in kept)]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_flat_pictures_lose_their_first_crops():
    flat = np.full((20, 24, 3), 7, np.uint16)
    numbered = flat + np.arange(24, dtype=np.uint16)[None, :, None]
    grid = Grid(4, 4, drop=0.3)  # 30 crops
    found = list(grid.cut([numbered, flat]))
    assert len(found) == 2 * 21 and found[0][0, 0, 0] == 7 + 12  # nine of the first rows of six are gone
