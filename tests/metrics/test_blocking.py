import math

import cv2
import numpy as np
import pytest
from skimage import data

from ir_plugins.metrics import psnr, psnr_b
from ir_plugins.runtime.errors import UserError


def reference(result, gt):
    """Yim and Bovik's equations pixel by pixel, for gray pictures of at least 8x8."""
    h, w = result.shape
    mse = sum((float(result[i, j]) - float(gt[i, j])) ** 2 for i in range(h) for j in range(w)) / (h * w)
    return 10 * math.log10(255**2 / (mse + reference_effect(result)))


def reference_effect(result):
    x, h, w = result.astype(float), *result.shape
    across, within = [], []
    for i in range(h):
        for j in range(w):
            if j + 1 < w:
                (across if (j + 1) % 8 == 0 else within).append((x[i, j] - x[i, j + 1]) ** 2)
            if i + 1 < h:
                (across if (i + 1) % 8 == 0 else within).append((x[i, j] - x[i + 1, j]) ** 2)
    effect = 0.0
    if across and np.mean(across) > np.mean(within):
        effect = math.log2(8) / math.log2(min(h, w)) * (np.mean(across) - np.mean(within))
    return effect


def as_jpeg(picture, quality):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], -1)


@pytest.fixture(scope="module")
def photograph():
    return np.ascontiguousarray(data.chelsea()[96:176, 128:256, ::-1])


@pytest.mark.parametrize("quality", [5, 40])
@pytest.mark.parametrize("h, w", [(80, 128), (43, 61), (8, 8), (9, 24), (8, 17), (15, 16)])
def test_it_is_the_papers(photograph, h, w, quality):
    gt = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)[:h, :w]
    result = as_jpeg(gt, quality)
    assert psnr_b(result, gt) == pytest.approx(reference(result, gt), abs=1e-9)


def test_blocks_cost_and_their_place_matters(photograph):
    gt = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    result = as_jpeg(gt, 5)
    assert psnr_b(result, gt) < psnr(result, gt) - 0.3
    moved = result[3:, 3:], gt[3:, 3:]  # edges of blocks are no longer where they are looked for
    assert psnr_b(*moved) > psnr(*moved) - 0.1
    assert psnr_b(gt + (result // 2 - result // 2), gt) == 100  # a photograph has no blocks


def test_only_the_result_is_looked_at_for_blocks(photograph):
    gt = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    result = as_jpeg(gt, 5)
    assert psnr_b(gt, result) == pytest.approx(psnr(gt, result), abs=1e-9)


@pytest.mark.parametrize("channels", ["gray", "y"])
def test_of_colour_luma_is_measured(photograph, channels):
    result = as_jpeg(photograph, 10)
    weights, black = {"gray": ((0.114, 0.587, 0.299), 0), "y": ((24.966, 128.553, 65.481), 16)}[channels]
    scale = 255 if channels == "y" else 1
    luma = [p @ np.array(weights) / scale + black for p in (result, photograph)]
    assert psnr_b(result, photograph, channels=channels) == pytest.approx(reference(*luma), abs=1e-9)
    rounded = [np.round(p) for p in luma]
    found = psnr_b(result, photograph, channels=channels, round_luma=True)
    assert found == pytest.approx(reference(*rounded), abs=1e-9)


@pytest.mark.parametrize("h, w", [(80, 128), (43, 61)])
@pytest.mark.parametrize("quality", [10, 40])
def test_colour_has_the_error_of_rgb_and_the_blocks_of_luma(photograph, quality, h, w):
    """As the tables of colour JPEG: RGB's mean square error and the factor of luma from 16 to 235."""
    gt = photograph[:h, :w]
    result = as_jpeg(gt, quality)
    mse = sum((int(a) - int(b)) ** 2 for a, b in zip(result.ravel(), gt.ravel(), strict=True)) / gt.size
    luma = np.array(
        [[16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255 for b, g, r in row] for row in result]
    )
    expected = 10 * math.log10(255**2 / (mse + reference_effect(luma)))
    found = psnr_b(result, gt, channels="rgb", blocks="y")
    assert found == pytest.approx(expected, abs=1e-9)
    # studio range is 219/255 as wide, so its blocks cost less; and RGB's error is more than luma's
    assert psnr_b(result, gt, channels="rgb") < found < psnr(result, gt)
    assert found < psnr_b(result, gt, channels="y") - 0.3
    unit = psnr_b(result / 255, gt / 255, channels="rgb", blocks="y", data_range=1.0)
    assert unit == pytest.approx(found, abs=1e-9)
    with pytest.raises(UserError, match="blocks"):
        psnr_b(result, gt, blocks="cbcr")


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (7, 8), (2, 9), (5, 7, 3)])
def test_small_pictures_have_a_finite_value(shape):
    result, gt = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    assert 0 < psnr_b(result, gt) <= psnr(result, gt, channels="gray") + 1e-12


def test_data_range_is_the_value_of_white(photograph):
    result = as_jpeg(photograph, 10)
    found = psnr_b(result / 255, photograph / 255, data_range=1.0)
    assert found == pytest.approx(psnr_b(result, photograph), abs=1e-9)


def test_it_cannot_crop(photograph):
    with pytest.raises(TypeError, match="crop_border"):
        psnr_b(photograph, photograph, crop_border=2)
    with pytest.raises(UserError, match="psnr_b: the result and GT are"):
        psnr_b(photograph, photograph[1:])
