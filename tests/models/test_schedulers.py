import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from ir_plugins import models
from ir_plugins.models import CosineAnnealingRestartCyclicLR
from ir_plugins.options.registries import SCHEDULERS

from basicsr.models.lr_scheduler import CosineAnnealingRestartLR


def rates(count, kind, *args, **kwargs):
    """The learning rates of `count` iterations, from a base rate of 3e-4 and, in a second group, 1e-4."""
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 1e-4}], lr=3e-4)
    scheduler = kind(optimizer, *args, **kwargs)
    found = []
    for _ in range(count):
        found.append(scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
    return torch.tensor(found, dtype=torch.float64)


def test_the_published_schedule_is_constant_and_then_a_cosine():
    """periods 92 + 208 for 92k + 208k; eta_mins [3e-4, 1e-6]."""
    found = rates(301, CosineAnnealingRestartCyclicLR, [92, 208], [1, 1], [3e-4, 1e-6])[:, 0]
    assert torch.allclose(found[:93], torch.full((93,), 3e-4, dtype=torch.float64))
    cosine = [1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * t / 208)) / 2 for t in range(209)]
    assert torch.allclose(found[92:], torch.tensor(cosine, dtype=torch.float64))


def test_one_cycle_is_torchs_own_cosine():
    ours = rates(18, CosineAnnealingRestartCyclicLR, [17], eta_mins=[1e-5])
    assert torch.allclose(ours, rates(18, CosineAnnealingLR, 17, eta_min=1e-5))


def test_equal_minima_are_basicsrs_restarts():
    ours = rates(23, CosineAnnealingRestartCyclicLR, [7, 5, 11], [1, 0.5, 0.25], [1e-7] * 3)
    theirs = rates(23, CosineAnnealingRestartLR, [7, 5, 11], [1, 0.5, 0.25], 1e-7)
    assert torch.allclose(ours, theirs)


def test_past_the_last_cycle_the_rate_stays_at_its_minimum():
    found = rates(30, CosineAnnealingRestartCyclicLR, [3, 5], [1, 1], [2e-4, 1e-6])
    assert torch.allclose(found[8:], torch.tensor(1e-6, dtype=torch.float64))


def test_weights_and_minima_have_defaults():
    found = rates(9, CosineAnnealingRestartCyclicLR, [3, 5])
    assert found[4, 0] > 2e-4 and found[3, 0] == found[8, 0] == 0


def test_one_cosine_is_torchs_until_it_ends_and_then_stays():
    found = rates(41, models.CosineAnnealingLR, T_max=17, eta_min=1e-5)
    torchs = rates(41, CosineAnnealingLR, 17, eta_min=1e-5)
    assert torch.allclose(found[:18], torchs[:18])
    assert torch.allclose(found[17:], torch.tensor(1e-5, dtype=torch.float64))
    assert torchs[34, 0] > 2.9e-4  # why it is not used
    assert rates(4, models.CosineAnnealingLR, 3)[3].tolist() == [0, 0]


def test_option_files_find_the_schedules():
    for kind in (models.CosineAnnealingLR, CosineAnnealingRestartCyclicLR):
        assert SCHEDULERS[kind.__name__] is kind


@pytest.mark.parametrize("periods", [0, -3])
def test_a_cosine_takes_time(periods):
    with pytest.raises(ValueError, match=f"T_max={periods} must be a whole number of at least 1"):
        rates(1, models.CosineAnnealingLR, periods)


def test_a_state_goes_on_where_it_was():
    def new():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        return optimizer, CosineAnnealingRestartCyclicLR(optimizer, [3, 5], eta_mins=[0.5, 0.1])

    (optimizer, first), (_, second) = new(), new()
    for _ in range(5):
        optimizer.step()
        first.step()
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(optimizer.state_dict())
    for scheduler in (first, second):
        scheduler.optimizer.step()
        scheduler.step()
    assert first.get_last_lr() == second.get_last_lr()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (([3, 5], [1]), r"restart_weights=\[1\] .* must be of one length"),
        (([3, 5], None, [0]), r"eta_mins=\[0\] must be of one length"),
        (([],), r"periods=\[\] must be whole numbers of at least 1"),
        (([3, 0],), r"periods=\[3, 0\] must be whole numbers of at least 1"),
    ],
)
def test_what_cannot_work_is_reported(arguments, says):
    with pytest.raises(ValueError, match=says):
        rates(1, CosineAnnealingRestartCyclicLR, *arguments)
