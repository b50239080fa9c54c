import math

import numpy as np
import pytest
import torch

from ir_plugins.losses import EdgeLoss

LINE = [0.05, 0.25, 0.4, 0.25, 0.05]


def slow_blur(picture):
    h, w = picture.shape
    blurred = np.zeros_like(picture)
    for y in range(h):
        for x in range(w):
            for i in range(-2, 3):
                for j in range(-2, 3):
                    pixel = picture[min(max(y + i, 0), h - 1), min(max(x + j, 0), w - 1)]
                    blurred[y, x] += LINE[i + 2] * LINE[j + 2] * pixel
    return blurred


def slow_laplacian(picture):
    blurred, coarse = slow_blur(picture), np.zeros_like(picture)
    for y in range(0, picture.shape[0], 2):
        for x in range(0, picture.shape[1], 2):
            coarse[y, x] = 4 * blurred[y, x]
    return picture - slow_blur(coarse)


@pytest.mark.parametrize("shape", [(2, 3, 7, 11), (1, 1, 1, 1), (1, 2, 2, 5)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_is_charbonnier_of_what_a_blur_takes_away(shape, reduction):
    pred, target = torch.rand(2, *shape)
    edges = [np.stack([slow_laplacian(p) for p in x.flatten(0, 1).double().numpy()]) for x in (pred, target)]
    each = np.sqrt((edges[0] - edges[1]) ** 2 + 0.01**2)
    wanted = 0.5 * (each.mean() if reduction == "mean" else each.sum())
    found = EdgeLoss(loss_weight=0.5, reduction=reduction, eps=0.01)(pred, target)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_a_shift_of_brightness_is_an_edge_only_at_the_border():
    target = torch.rand(1, 1, 16, 16)
    brighter = (target + 0.5).requires_grad_()
    weight = torch.zeros(1, 1, 16, 16)
    weight[..., 5:-5, 5:-5] = 1
    assert EdgeLoss()(brighter, target, weight).item() == pytest.approx(1e-3, rel=1e-4)
    assert EdgeLoss()(brighter, target).item() > 2e-3


def test_autocast_blurs_in_float32():
    pred, target = torch.rand(2, 1, 3, 17, 19)
    pred = target + 0.01 * pred
    wanted = EdgeLoss()(pred.double(), target.double()).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert EdgeLoss()(pred, target).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"eps": 0}, "eps=0 must be above 0"),
        ({"eps": math.nan}, "eps=nan must be above 0"),
        ({"reduction": "none"}, "reduction='none' is not one of mean, sum"),
    ],
)
def test_what_cannot_work_is_reported(arguments, says):
    with pytest.raises(ValueError, match=says):
        EdgeLoss(**arguments)
