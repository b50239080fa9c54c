import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from ir_plugins.losses import CharbonnierEps2Loss, PSNRLoss

from basicsr.losses.basic_loss import CharbonnierLoss
from basicsr.metrics.psnr_ssim import calculate_psnr_pt


def pictures(*shape):
    target = torch.rand(shape)
    return (target + 0.1 * torch.randn(shape)).clamp(0, 1), target


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_charbonnier_is_the_papers_formula(reduction):
    pred, target = pictures(2, 3, 5, 7)
    terms = [
        math.sqrt((p - t) ** 2 + 0.02**2)
        for p, t in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True)
    ]
    wanted = 3 * sum(terms) / (len(terms) if reduction == "mean" else 1)
    found = CharbonnierEps2Loss(loss_weight=3, reduction=reduction, eps=0.02)(pred, target)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_charbonnier_and_basicsrs_differ_by_the_square_of_eps():
    pred, target = pictures(2, 3, 5, 7)
    theirs = CharbonnierLoss(eps=1e-6)(pred, target)
    assert CharbonnierEps2Loss()(pred, target).item() == pytest.approx(theirs.item(), rel=1e-6)
    assert CharbonnierEps2Loss()(target, target).item() == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_charbonnier_weighs_pixels_as_basicsrs_does(channels):
    pred, target = pictures(2, 3, 5, 7)
    weight = torch.rand(2, channels, 5, 7)
    theirs = CharbonnierLoss(eps=1e-6)(pred, target, weight)
    assert CharbonnierEps2Loss()(pred, target, weight).item() == pytest.approx(theirs.item(), rel=1e-6)


def test_psnr_is_averaged_over_pictures():
    pred, target = pictures(3, 3, 11, 13)
    pred[1] = target[1] + 0.01
    each = [
        peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=1) for p, t in zip(pred, target, strict=True)
    ]
    assert PSNRLoss(loss_weight=0.5)(pred, target).item() == pytest.approx(-0.5 * np.mean(each), rel=1e-5)
    assert PSNRLoss(reduction="sum")(pred, target).item() == pytest.approx(-np.sum(each), rel=1e-5)


def test_psnr_of_luma_is_basicsrs_metric():
    pred, target = pictures(3, 3, 11, 13)
    metric = calculate_psnr_pt(pred, target, crop_border=0, test_y_channel=True).mean()
    assert PSNRLoss(to_y=True)(pred, target).item() == pytest.approx(-metric.item(), rel=1e-5)


def test_psnr_of_equal_pictures_is_bounded():
    _, target = pictures(2, 3, 5, 7)
    assert PSNRLoss()(target, target).item() == pytest.approx(-80, rel=1e-5)


@pytest.mark.parametrize("to_y, channels", [(False, 1), (False, 3), (True, 1)])
def test_psnr_weighs_pixels(to_y, channels):
    """A weight of 1 for some rows and 0 for the others is the loss of these rows."""
    pred, target = pictures(2, 3, 5, 7)
    weight = torch.zeros(2, channels, 5, 7)
    weight[:, :, :3] = 1
    loss = PSNRLoss(to_y=to_y)
    assert loss(pred, target, weight).item() == pytest.approx(loss(pred[:, :, :3], target[:, :, :3]).item())


@pytest.mark.parametrize(
    "kind, arguments, says",
    [
        (CharbonnierEps2Loss, {"eps": 0}, "eps=0 must be above 0"),
        (CharbonnierEps2Loss, {"eps": math.nan}, "eps=nan must be above 0"),
        (CharbonnierEps2Loss, {"reduction": "none"}, "reduction='none' is not one of mean, sum"),
        (PSNRLoss, {"eps": -1e-8}, "eps=-1e-08 must be above 0"),
        (PSNRLoss, {"reduction": "max"}, "reduction='max' is not one of mean, sum"),
    ],
)
def test_what_cannot_work_is_reported(kind, arguments, says):
    with pytest.raises(ValueError, match=says):
        kind(**arguments)


def test_luma_takes_three_channels():
    with pytest.raises(ValueError, match=r"to_y=True takes RGB pictures, not 1 channels; set it False"):
        PSNRLoss(to_y=True)(*pictures(2, 1, 5, 7))
