import numpy as np
import pytest
from scipy.ndimage import correlate
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from ir_plugins.metrics import ssim
from ir_plugins.runtime.errors import UserError

from basicsr.metrics import calculate_ssim

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def pair(*shape, noise=17, dtype=np.uint8):
    """Waves of different phase in each channel, and a noisy copy, in 0..255."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    phases = np.arange(np.prod(shape[2:], dtype=int))
    gt = 128 + 100 * np.sin(y[..., None] / 3 + phases) * np.cos(x[..., None] / 5 + phases * phases)
    result = gt + np.random.default_rng(1).normal(0, noise, gt.shape)
    found = [np.clip(p, 0, 255).reshape(shape) for p in (result, gt)]
    return tuple(p.round().astype(dtype) if dtype == np.uint8 else p.astype(dtype) for p in found)


def gaussian(offsets):
    """The window, of offsets up to 5 in each axis, its sum 1."""
    weights = np.exp(-(np.asarray(offsets, float) ** 2).sum(0) / (2 * 1.5**2))
    return weights / weights.sum()


def value(x, y, weights):
    """SSIM of two windows, term by term."""
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    return (2 * mx * my + C1) * (2 * cov + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("luma", [False, True])
@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("shape", [(17, 23), (17, 23, 1), (29, 31, 3)])
def test_per_channel_is_basicsrs(shape, border, luma, dtype):
    result, gt = pair(*shape, dtype=dtype)
    wanted = calculate_ssim(result, gt, crop_border=border, test_y_channel=luma)
    found = ssim(result, gt, crop_border=border, channels="y" if luma else "rgb")
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("shape", [(11, 11), (13, 19), (13, 19, 3)])
def test_per_channel_is_scikit_images(shape):
    result, gt = (p.astype(float) for p in pair(*shape))
    wanted = structural_similarity(
        result,
        gt,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert ssim(result, gt) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("shape", [(7, 7), (13, 19), (13, 19, 3), (8, 9, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_skimage_is_scikit_images_default(shape, dtype):
    result, gt = pair(*shape, dtype=dtype)
    wanted = structural_similarity(result, gt, data_range=255, channel_axis=2 if len(shape) == 3 else None)
    assert ssim(result, gt, mode="skimage") == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("shape", [(5, 7, 3), (13, 4, 3), (1, 1, 3), (3, 5, 2)])
def test_matlab3d_is_a_volume_voxel_by_voxel(shape):
    result, gt = (p.astype(float) for p in pair(*shape))
    weights = gaussian(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"))
    x, y = (np.pad(p, 5, mode="edge") for p in (result, gt))
    values = [
        value(x[i : i + 11, j : j + 11, k : k + 11], y[i : i + 11, j : j + 11, k : k + 11], weights)
        for i, j, k in np.ndindex(shape)
    ]
    assert ssim(result, gt, mode="matlab3d") == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize("shape", [(5, 7), (13, 4, 1), (1, 1)])
def test_matlab3d_of_one_channel_is_two_dimensional(shape):
    result, gt = (p.astype(float) for p in pair(*shape))
    weights = gaussian(np.meshgrid(*[np.arange(-5, 6)] * 2, indexing="ij"))
    x, y = (np.pad(p.reshape(shape[:2]), 5, mode="edge") for p in (result, gt))
    values = [
        value(x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11], weights) for i, j in np.ndindex(shape[:2])
    ]
    assert ssim(result, gt, mode="matlab3d") == pytest.approx(np.mean(values), abs=1e-9)


def test_matlab3d_is_scipys_filter_in_three_dimensions():
    _, gt = pair(31, 37, 3)
    result = np.clip(gt + np.random.default_rng(2).normal(0, 17, (31, 37, 1)), 0, 255)
    three = ssim(result, gt, mode="matlab3d")
    assert three == pytest.approx(_volume(result, gt.astype(float)), abs=1e-9)
    assert abs(three - ssim(result, gt)) > 0.01


def _volume(x, y):
    weights = gaussian(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"))
    mx, my, xx, yy, xy = (correlate(p, weights, mode="nearest") for p in (x, y, x * x, y * y, x * y))
    top = (2 * mx * my + C1) * (2 * (xy - mx * my) + C2)
    return (top / ((mx**2 + my**2 + C1) * (xx - mx**2 + yy - my**2 + C2))).mean()


@pytest.mark.parametrize("shape", [(5, 7), (13, 19), (13, 19, 3)])
def test_zero_padded_is_a_convolution_of_the_same_size(shape):
    result, gt = (p.astype(float).reshape(*shape[:2], -1) for p in pair(*shape))
    window = gaussian(np.meshgrid(*[np.arange(-5, 6)] * 2, indexing="ij"))
    values = []
    for c in range(result.shape[2]):
        x, y = result[..., c], gt[..., c]
        mx, my, xx, yy, xy = (convolve2d(p, window, mode="same") for p in (x, y, x * x, y * y, x * y))
        top = (2 * mx * my + C1) * (2 * (xy - mx * my) + C2)
        values.append(top / ((mx**2 + my**2 + C1) * (xx - mx**2 + yy - my**2 + C2)))
    assert ssim(result, gt, mode="zero_padded") == pytest.approx(np.mean(values), abs=1e-9)


MODES = ["per_channel", "matlab3d", "zero_padded", "skimage"]


@pytest.mark.parametrize("mode", MODES)
def test_equal_pictures_are_wholly_alike_and_others_less(mode):
    result, gt = pair(17, 19, 3)
    assert ssim(gt, gt, mode=mode) == pytest.approx(1, abs=1e-12)
    assert ssim(result, gt, mode=mode) == pytest.approx(ssim(gt, result, mode=mode), abs=1e-12)
    assert ssim(pair(17, 19, 3, noise=40)[0], gt, mode=mode) < ssim(result, gt, mode=mode) < 0.99
    flat = np.full((17, 19, 3), 255, np.uint8)
    assert ssim(flat, flat, mode=mode) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_differ(mode):
    result, gt = pair(17, 19, 3)
    others = [ssim(result, gt, mode=other) for other in MODES if other != mode]
    assert all(abs(ssim(result, gt, mode=mode) - other) > 1e-4 for other in others)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels, rounded", [("rgb", False), ("y", True)])
def test_data_range_is_the_value_of_white(mode, channels, rounded):
    result, gt = pair(17, 19, 3)
    how = {"mode": mode, "channels": channels, "round_luma": rounded}
    found = ssim(result / 255, gt / 255, data_range=1.0, **how)
    assert found == pytest.approx(ssim(result, gt, **how), abs=1e-9)


def test_the_luma_is_rounded_where_asked_for():
    result, gt = pair(17, 19, 3)
    luma = [(p[..., ::-1] @ np.array([65.481, 128.553, 24.966]) / 255 + 16).round() for p in (result, gt)]
    wanted = calculate_ssim(*luma, crop_border=0)
    assert ssim(result, gt, channels="y", round_luma=True) == pytest.approx(wanted, abs=1e-9)
    assert ssim(result, gt, channels="y") != pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("mode, least", [("per_channel", 11), ("skimage", 7)])
def test_pictures_smaller_than_the_window_are_reported(mode, least):
    assert np.isfinite(ssim(*pair(least, least, 3), mode=mode))
    says = f"^ssim: a picture of {least - 1}x23 is too small, its least side is {least}; lower crop_border"
    with pytest.raises(UserError, match=says):
        ssim(*pair(least - 1, 23, 3), mode=mode)
    with pytest.raises(UserError, match=f"^ssim: a picture of {least - 1}x{least + 1} "):
        ssim(*pair(least + 1, least + 3, 3), mode=mode, crop_border=1)


def test_a_mode_that_is_none_is_reported():
    with pytest.raises(UserError, match="ssim: mode='gaussian' is not one of per_channel, matlab3d, zero"):
        ssim(*pair(17, 19), mode="gaussian")
