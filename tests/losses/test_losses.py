"""What holds for every loss."""

import pytest
import torch

from ir_plugins import losses
from ir_plugins.checks import rehearsal
from ir_plugins.losses import CharbonnierEps2Loss, EdgeLoss, FFTLoss, MSSSIMLoss, PSNRLoss, SSIMLoss
from ir_plugins.options.registries import entries

from basicsr.losses import build_loss
from basicsr.utils.registry import LOSS_REGISTRY

# VGGPerceptualLoss needs a file; test_perceptual.py asks the same of it
BUILT = {
    "CharbonnierEps2Loss": CharbonnierEps2Loss(),
    "PSNRLoss": PSNRLoss(),
    "PSNRLoss of luma": PSNRLoss(to_y=True),
    "SSIMLoss": SSIMLoss(),
    "MSSSIMLoss": MSSSIMLoss(weights=[0.4, 0.6]),
    "EdgeLoss": EdgeLoss(),
    "FFTLoss": FFTLoss(),
}


@pytest.fixture(params=BUILT)
def loss(request):
    return BUILT[request.param]


def test_all_are_registered_and_basicsrs_names_stay_basicsrs():
    known = entries(LOSS_REGISTRY)
    assert all(known[name] is getattr(losses, name) for name in losses.__all__)
    assert {name.split()[0] for name in BUILT} | {"VGGPerceptualLoss"} == set(losses.__all__)
    for name in ("L1Loss", "MSELoss", "CharbonnierLoss", "WeightedTVLoss", "PerceptualLoss"):
        assert known[name].__module__.startswith("basicsr.")


def test_basicsr_builds_them_by_name():
    assert isinstance(build_loss({"type": "EdgeLoss", "loss_weight": 0.05}), EdgeLoss)


@pytest.mark.parametrize("h, w", [(21, 21), (23, 34)])
@pytest.mark.parametrize("batch", [1, 2])
def test_one_number_with_a_gradient_for_every_pixel(loss, h, w, batch):
    target = torch.rand(batch, 3, h, w)
    pred = (target + 0.2 * torch.randn_like(target)).requires_grad_()
    value = loss(pred, target)
    value.backward()
    assert value.ndim == 0 and value.isfinite()
    assert pred.grad.isfinite().all() and (pred.grad != 0).float().mean() > 0.99


def test_equal_pictures_have_a_finite_gradient(loss):
    for target in (torch.rand(1, 3, 23, 21), torch.zeros(1, 3, 23, 21), torch.ones(1, 3, 23, 21)):
        pred = target.clone().requires_grad_()
        value = loss(pred, target)
        value.backward()
        assert value.isfinite() and pred.grad.isfinite().all() and pred.grad.abs().max() < 1e-3
        assert value < loss((target + 0.1 * torch.rand_like(target)), target)


def test_the_gradient_is_the_values(loss):
    side = 21 if isinstance(loss, MSSSIMLoss) else 12
    target = torch.rand(1, 3, side, side, dtype=torch.float64)
    pred = target + 0.1 * torch.randn_like(target)
    # whole jacobians are not cheap, a random direction is
    assert torch.autograd.gradcheck(lambda x: loss(x, target), pred.requires_grad_(), fast_mode=True)


def test_descent_comes_nearer_to_the_target(loss):
    target = torch.rand(1, 3, 24, 24)
    pred = (target + 0.2 * torch.randn_like(target)).requires_grad_()
    optimizer = torch.optim.Adam([pred], lr=0.01)
    before = (pred - target).abs().mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss(pred, target).backward()
        optimizer.step()
    assert (pred - target).abs().mean().item() < 0.9 * before  # luma tells little of colour


def test_memory_format_and_precision_change_nothing(loss):
    pred, target = torch.rand(2, 2, 3, 21, 23).bfloat16()
    wanted = loss(pred.double(), target.double()).item()
    assert loss(pred, target).dtype == torch.float32
    assert loss(pred, target.float()).item() == pytest.approx(wanted, rel=1e-4)
    pred = pred.contiguous(memory_format=torch.channels_last)
    assert loss(pred, target).item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("other", [(2, 1, 21, 23), (1, 3, 21, 23), (2, 3, 21, 1)])
def test_pictures_of_two_shapes_are_reported(loss, other):
    with pytest.raises(ValueError, match=r"pred \[2, 3, 21, 23\] and target \[.*\] must be of one shape"):
        loss(torch.rand(2, 3, 21, 23), torch.rand(other))


def test_a_picture_without_a_batch_is_reported(loss):
    with pytest.raises(ValueError, match=r"must be of one shape \(B, C, H, W\)"):
        loss(torch.rand(3, 21, 23), torch.rand(3, 21, 23))


def failures(block, patch_sizes=None, **data):
    train = {"perceptual_opt": block, "progressive": patch_sizes and {"patch_sizes": patch_sizes}}
    options = {"train": train, "datasets": {"train": data}}
    return [text for _, text in rehearsal.failures(options, (), {}, {}, entries(LOSS_REGISTRY), {})]


@pytest.mark.parametrize("name", sorted(set(losses.__all__) - {"VGGPerceptualLoss"}))
def test_they_work_where_option_files_are_tried(name):
    assert failures({"type": name}) == failures({"type": name}, gt_size=256) == []


@pytest.mark.parametrize(
    "data", [{"gt_size": 128}, {"gt_size": 384, "gt_sizes": [128, 384]}, {"patch_sizes": [256, 128]}]
)
def test_a_patch_that_is_too_small_is_found_before_a_run(data):
    (line,) = failures({"type": "MSSSIMLoss"}, **data)
    assert line.startswith(
        "cannot work: a picture of 128x128 is too small, its least side is 161; raise gt_size"
    )
    assert failures({"type": "MSSSIMLoss", "weights": [0.3, 0.3, 0.4]}, **data) == []


def test_the_patches_of_progressive_learning_replace_gt_size():
    assert failures({"type": "MSSSIMLoss"}, patch_sizes=[192, 256], gt_size=14) == []


def test_vgg_is_checked_without_its_weights(workplace):
    block = {"type": "VGGPerceptualLoss", "layer_weights": {"conv5_4": 1.0}, "weights": "missing.pth"}
    assert failures(block) == []
    (line,) = failures(block | {"layer_weights": {"conv5_5": 1.0}})
    assert "'conv5_5' is not one of conv1_1," in line
