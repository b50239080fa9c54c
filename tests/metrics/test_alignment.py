import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from ir_plugins.metrics import alignment, psnr, psnr_aligned, ssim, ssim_aligned
from ir_plugins.runtime.errors import UserError

MOVE = np.array([[1.002, 0.001, 2.3], [-0.001, 0.999, -1.7], [2e-6, -1e-6, 1]])


@pytest.fixture(autouse=True)
def nothing_kept():
    alignment._aligned.cache_clear()


@pytest.fixture(scope="module")
def photograph():
    return np.ascontiguousarray(data.chelsea()[70:203, 120:287, ::-1])


def moved(picture, matrix=MOVE):
    """What a camera elsewhere sees, from a wider photograph than the one that is compared."""
    whole = data.chelsea()[..., ::-1].astype(np.float32)
    shift = np.array([[1, 0, 120], [0, 1, 70], [0, 0, 1]], float)
    h, w = picture.shape[:2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return (
        cv2.warpPerspective(whole, shift @ matrix, (w, h), flags=flags).clip(0, 255).round().astype(np.uint8)
    )


def test_a_moved_picture_is_found_again(photograph):
    result = moved(photograph)
    assert psnr(result, photograph) < 27 and ssim(result, photograph) < 0.8
    assert psnr_aligned(result, photograph) > 36  # what interpolating twice leaves
    assert ssim_aligned(result, photograph) > 0.97


def test_brightness_does_not_count(photograph):
    dark = photograph * 0.6
    assert psnr(dark, photograph) < 20
    assert psnr_aligned(dark, photograph) > 60


def test_an_equal_picture_is_equal(photograph):
    assert psnr_aligned(photograph, photograph) == 100
    assert ssim_aligned(photograph, photograph) == pytest.approx(1, abs=1e-9)


def test_it_follows_the_protocol_step_by_step(photograph):
    """OpenCV and scikit-image called one after the other, in float32, as the steps are published."""
    result = np.clip(
        moved(photograph) * 0.9 + np.random.default_rng(0).normal(0, 3, photograph.shape), 0, 255
    )
    z, x = (p.astype(np.float32) / 255 for p in (result, photograph))
    z = z * ((x * z).sum(dtype=float) / (z * z).sum(dtype=float)).astype(np.float32)
    gray = [cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (x, z)]
    _, found = cv2.findTransformECC(*gray, np.eye(3, dtype=np.float32), 3, (3, 100, 0), None, 5)
    size, ones = x.shape[1::-1], np.ones_like(z)
    inverse = cv2.WARP_INVERSE_MAP
    z = cv2.warpPerspective(z, found, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(ones, found, size, flags=inverse | cv2.INTER_NEAREST)
    assert 0.9 < mask.mean() < 1
    z, x = z * mask, x * mask
    mse = np.square(z - x, dtype=float).sum() / mask.sum(dtype=float)
    assert psnr_aligned(result, photograph) == pytest.approx(-10 * np.log10(mse), abs=2e-3)
    _, values = structural_similarity(
        x.astype(float),
        z.astype(float),
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    inner = (slice(5, -5), slice(5, -5))
    wanted = (values * mask)[inner].sum(dtype=float) / mask[inner].sum(dtype=float)
    assert ssim_aligned(result, photograph) == pytest.approx(wanted, abs=1e-4)


def test_what_is_not_seen_does_not_count(photograph):
    z, x, mask = alignment.align(moved(photograph, np.array([[1, 0, 7.4], [0, 1, 0], [0, 0, 1]])), photograph)
    assert z.shape == x.shape == (133, 167, 3) and mask.shape == (133, 167, 1)
    assert set(np.unique(mask)) == {0, 1} and not mask[40:90, :6].any() and mask[40:90, 9:].all()


def test_gray_pictures(photograph):
    result, gt = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (moved(photograph), photograph))
    assert psnr_aligned(result, gt) > 36 and ssim_aligned(result[..., None], gt) > 0.97


def test_both_share_one_search(photograph, monkeypatch):
    calls, search = [], alignment._homography
    monkeypatch.setattr(alignment, "_homography", lambda *pair: calls.append(1) or search(*pair))
    result = moved(photograph)
    psnr_aligned(result, photograph)
    ssim_aligned(result, photograph)
    assert len(calls) == 1
    result[0, 0, 0] ^= 255  # another picture in the same memory
    ssim_aligned(result, photograph)
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["black", "flat", "foreign", "one pixel"])
def test_where_no_motion_is_found_the_picture_stays(photograph, kind, messages):
    gt = photograph[:1, :1] if kind == "one pixel" else photograph
    result = {
        "black": np.zeros_like(photograph),
        "flat": np.full_like(photograph, 77),
        "foreign": 255 - photograph,
        "one pixel": gt,
    }[kind]
    found = psnr_aligned(result, gt)
    x, z = gt / 255.0, result / 255.0
    z = z * ((x * z).sum() / max((z * z).sum(), 1e-9) if z.any() else 1)
    mse = np.square(z - x).mean()
    assert found == pytest.approx(min(100, -10 * np.log10(max(mse, 1e-12))), abs=1e-6)
    assert messages[0] == (
        "WARNING psnr_aligned, ssim_aligned: ECC found no motion; this picture is measured where it is"
    )


@pytest.mark.parametrize("matrix", [[[1, 0, 9000], [0, 1, 0], [0, 0, 1]], [[1, 0, 90], [0, 1, 0], [0, 0, 1]]])
def test_a_motion_out_of_the_picture_is_not_believed(photograph, matrix, monkeypatch, messages):
    monkeypatch.setattr(alignment, "_homography", lambda z, x: np.array(matrix, np.float32))
    assert psnr_aligned(photograph, photograph) == 100
    assert "WARNING psnr_aligned, ssim_aligned: ECC moved most of it out of GT; this picture" in messages[0]
    assert ssim_aligned(photograph, photograph) == pytest.approx(1, abs=1e-9)


def test_data_range_is_the_value_of_white(photograph):
    result = moved(photograph)
    found = psnr_aligned(result / 255, photograph / 255, data_range=1.0)
    assert found == pytest.approx(psnr_aligned(result, photograph), abs=1e-3)


def test_pictures_that_cannot_work_are_reported(photograph):
    with pytest.raises(UserError, match="ssim_aligned: a picture of 10x23 is too small"):
        ssim_aligned(photograph[:10, :23], photograph[:10, :23])
    with pytest.raises(UserError, match="psnr_aligned: the result and GT are"):
        psnr_aligned(photograph, photograph[1:])
