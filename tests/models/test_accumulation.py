"""Batches in parts: the step is that of the whole batch, written out by hand here."""

import copy

import pytest
import torch
from small_model import batches, content, largest_difference, small_model, train_on

pytestmark = pytest.mark.usefixtures("small")


def by_hand(model, data, losses, *, clip=None, decay=0.0):
    """The weights of plain PyTorch after a step on each whole batch, and their average."""
    net = copy.deepcopy(model.net_g)
    average = {name: value.clone() for name, value in net.state_dict().items()}
    group = {key: model.optimizer_g.defaults[key] for key in ("lr", "momentum", "weight_decay", "nesterov")}
    optimizer = torch.optim.SGD(net.parameters(), **group)
    for batch in data:
        optimizer.zero_grad()
        output = net(batch["lq"])
        sum(loss(output, batch["gt"]) for loss in losses).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        for name, value in net.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value
    return net.state_dict(), average


def l1(reduction="mean"):
    return lambda output, gt: torch.nn.functional.l1_loss(output, gt, reduction=reduction)


def mse(weight):
    return lambda output, gt: weight * (output - gt).square().mean()


CASES = {
    "mean": ({}, [l1()], {}),
    "sum": (
        {"pixel_opt": {"type": "L1Loss", "reduction": "sum"}, "optim_g": {"type": "SGD", "lr": 1e-4}},
        [l1("sum")],
        {},
    ),
    "two losses": ({"mse_opt": {"type": "MSELoss", "loss_weight": 0.3}}, [l1(), mse(0.3)], {}),
    "a mean and a sum": (
        {
            "mse_opt": {"type": "MSELoss", "loss_weight": 0.3},
            "pixel_opt": {"type": "L1Loss", "reduction": "sum"},
            "optim_g": {"type": "SGD", "lr": 1e-4},
        },
        [l1("sum"), mse(0.3)],
        {},
    ),
    "average": ({"ema_decay": 0.7}, [l1()], {"decay": 0.7}),
    "clipped": ({"grad_clip": 0.05}, [l1()], {"clip": 0.05}),
    "momentum": ({"optim_g": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}}, [l1()], {}),
}


@pytest.mark.parametrize("accumulate", [1, 2, 3, 6])
@pytest.mark.parametrize("case", CASES)
def test_parts_make_the_step_of_the_whole(case, accumulate):
    options, losses, arguments = CASES[case]
    model = small_model(accumulate=accumulate, scheduler={"type": "MultiStepLR", "milestones": []}, **options)
    weights, average = by_hand(model, batches(3), losses, **arguments)
    before = content(model)
    train_on(model, batches(3))
    assert largest_difference(model.net_g.state_dict(), weights) < 1e-6
    assert min(float((before[f"net {n}"] - w).abs().max()) for n, w in weights.items()) > 1e-5  # each moved
    if "ema_decay" in options:
        assert largest_difference(model.net_g_ema.state_dict(), average) < 1e-6


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_log_shows_the_loss_of_the_whole_batch(reduction):
    options = {"pixel_opt": {"type": "L1Loss", "reduction": reduction}}
    whole, parts = small_model(**options), small_model(accumulate=3, **options)
    data = batches(1)
    with torch.no_grad():
        expected = l1(reduction)(whole.net_g(data[0]["lq"]), data[0]["gt"])
    for model in (whole, parts):
        assert train_on(model, data)[0] == {"l_pix": pytest.approx(float(expected), rel=1e-6)}


def test_parts_of_unequal_sizes_weigh_by_their_pictures():
    whole, parts = small_model(), small_model(accumulate=2)
    train_on(whole, batches(3, batch=5))
    train_on(parts, batches(3, batch=5))
    assert largest_difference(content(whole), content(parts)) < 1e-6


def test_the_network_sees_a_part_at_a_time():
    model, sizes = small_model(accumulate=3), []
    model.net_g.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    train_on(model, batches(2))
    assert sizes == [2] * 6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_half_precision_parts_differ_by_its_rounding_alone(precision):
    whole, parts = (small_model(accumulate=n, precision=precision) for n in (1, 3))
    before = content(whole)
    train_on(whole, batches(3))
    train_on(parts, batches(3))
    moved = largest_difference(before, {name: content(whole)[name] for name in before})
    names = list(whole.net_g.state_dict())
    difference = largest_difference(*({n: m.net_g.state_dict()[n] for n in names} for m in (whole, parts)))
    assert difference < 0.02 * moved
