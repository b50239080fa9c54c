import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from ir_plugins.losses import MSSSIMLoss, SSIMLoss


def pictures(*shape, noise=0.1):
    """Smooth pictures and noisy copies."""
    y, x = torch.meshgrid(torch.arange(shape[2]), torch.arange(shape[3]), indexing="ij")
    target = 0.5 + 0.4 * torch.sin(y / 5 + torch.rand(shape[:2])[..., None, None] * 6) * torch.cos(x / 7)
    return (target + noise * torch.randn(shape)).clamp(0, 1), target


def reference(pred, target):
    """The map of SSIM by scikit-image, without the border where its window is not whole: (B, h, w, C)."""
    maps = []
    for p, t in zip(pred, target, strict=True):
        _, full = structural_similarity(
            p.permute(1, 2, 0).double().numpy(),
            t.permute(1, 2, 0).double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=2,
            full=True,
        )
        maps.append(full[5:-5, 5:-5])
    return np.stack(maps)


@pytest.mark.parametrize("shape", [(1, 1, 11, 11), (2, 3, 17, 23)])
def test_ssim_is_scikit_images(shape):
    pred, target = pictures(*shape)
    wanted = 1 - reference(pred, target).mean()
    assert wanted > 0.1
    assert SSIMLoss()(pred, target).item() == pytest.approx(wanted, rel=1e-4)
    assert SSIMLoss(loss_weight=3)(pred, target).item() == pytest.approx(3 * wanted, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_weighs_the_pixel_amid_each_window(channels):
    pred, target = pictures(2, 3, 17, 23)
    weight = torch.rand(2, channels, 17, 23)
    weights = weight.expand(2, 3, -1, -1)[:, :, 5:-5, 5:-5].permute(0, 2, 3, 1).double().numpy()
    wanted = np.average(1 - reference(pred, target), weights=weights)
    assert SSIMLoss()(pred, target, weight).item() == pytest.approx(wanted, rel=1e-4)


def slow_ms_ssim(x, y, weights):
    """Of one channel, in float64 numpy."""
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2

    def blur(picture):
        return convolve2d(picture, window, mode="valid")

    result = 1.0
    for scale, weight in enumerate(weights):
        a, b = blur(x), blur(y)
        cs = (2 * (blur(x * y) - a * b) + 9e-4) / (blur(x * x) - a * a + blur(y * y) - b * b + 9e-4)
        last = scale == len(weights) - 1
        result *= (cs * (2 * a * b + 1e-4) / (a * a + b * b + 1e-4) if last else cs).mean() ** weight
        # an odd side goes on with its last pixels
        x, y = (np.pad(p, [(0, p.shape[0] % 2), (0, p.shape[1] % 2)], mode="edge") for p in (x, y))
        x, y = (sum(p[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for p in (x, y))
    return result


PAPER = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


@pytest.mark.parametrize(
    "shape, weights", [((1, 1, 11, 13), [0.7]), ((2, 3, 43, 41), [0.2, 0.3, 0.5]), ((1, 2, 161, 167), PAPER)]
)
def test_ms_ssim_is_the_papers(shape, weights):
    pred, target = pictures(*shape, noise=0.05)
    pairs = zip(pred.flatten(0, 1).double().numpy(), target.flatten(0, 1).double().numpy(), strict=True)
    wanted = 1 - np.mean([slow_ms_ssim(x, y, weights) for x, y in pairs])
    assert wanted > 0.005
    assert MSSSIMLoss(weights=weights)(pred, target).item() == pytest.approx(wanted, rel=1e-3)
    assert MSSSIMLoss(2, weights)(pred, target).item() == pytest.approx(2 * wanted, rel=1e-3)
    if weights == PAPER:
        assert MSSSIMLoss()(pred, target).item() == pytest.approx(wanted, rel=1e-3)


def test_one_scale_is_ssim():
    pred, target = pictures(1, 3, 13, 17)
    assert torch.allclose(MSSSIMLoss(weights=[1.0])(pred, target), SSIMLoss()(pred, target))


@pytest.mark.parametrize(
    "loss, side", [(SSIMLoss(), 11), (MSSSIMLoss(weights=[0.5, 0.5]), 21), (MSSSIMLoss(), 161)]
)
def test_the_least_side_works_and_one_less_is_reported(loss, side):
    assert loss(*pictures(1, 1, side, side + 6)).isfinite()
    with pytest.raises(
        ValueError, match=f"a picture of {side + 6}x{side - 1} is too small, its least side is {side};"
    ):
        loss(*pictures(1, 1, side + 6, side - 1))


def test_too_many_scales_tell_the_way_out():
    with pytest.raises(ValueError, match=r"raise gt_size, or give fewer than the 5 weights, one per scale"):
        MSSSIMLoss()(*pictures(1, 3, 128, 128))


@pytest.mark.parametrize("weights", [[], [0.5, 0], [0.5, -0.5], [math.nan]])
def test_weights_that_cannot_work_are_reported(weights):
    with pytest.raises(ValueError, match=r"must be numbers above 0, one for each scale"):
        MSSSIMLoss(weights=weights)


def test_a_negative_mean_has_no_gradient_but_a_finite_one():
    _, target = pictures(1, 1, 23, 23)
    pred = (1 - target).requires_grad_()
    value = MSSSIMLoss(weights=[0.5, 0.5])(pred, target)
    value.backward()
    assert 0.99 < value < 1 and pred.grad.isfinite().all()


@pytest.mark.parametrize("loss", [SSIMLoss(), MSSSIMLoss(weights=[0.4, 0.6])])
def test_half_precision_is_measured_in_float32(loss):
    """A faint texture on a bright ground: the squares differ by less than a step of bfloat16."""
    target = (0.9 + 0.02 * torch.randn(1, 3, 33, 35)).bfloat16()
    pred = (target + 0.02 * torch.randn(1, 3, 33, 35)).bfloat16()
    wanted = loss(pred.double(), target.double()).item()
    assert loss(pred, target).item() == pytest.approx(wanted, rel=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(pred.float(), target.float())
    assert found.dtype == torch.float32 and found.item() == pytest.approx(wanted, rel=1e-3)
