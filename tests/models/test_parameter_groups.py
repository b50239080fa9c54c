import re

import pytest
import torch
from small_model import NETWORK, SmallNet, small_model
from torch import nn

from ir_plugins.models.parameter_groups import parameter_groups

NAMES = ["gain", "first.weight", "first.bias", "last.weight", "last.bias"]
VECTORS = {"gain", "first.bias", "last.bias"}


def named(net, groups):
    """The parameters' names of each group, and its weight decay, None where it has none of its own."""
    names = {id(value): name for name, value in net.named_parameters()}
    return [([names[id(value)] for value in g["params"]], g.get("weight_decay")) for g in groups]


@pytest.mark.parametrize("no_decay", [None, False, []])
def test_usually_there_is_one_group(no_decay):
    net = SmallNet()
    assert named(net, parameter_groups(net, no_decay)) == [(NAMES, None)]


@pytest.mark.parametrize(
    "no_decay, spared",
    [
        (True, VECTORS),
        (["*.bias"], {"first.bias", "last.bias"}),
        (["last.*", "gain"], {"last.weight", "last.bias", "gain"}),
        (["*.bias", "first.*"], {"first.weight", "first.bias", "last.bias"}),
        (["?irst.[bw]*"], {"first.weight", "first.bias"}),
    ],
)
def test_the_second_group_is_spared(no_decay, spared):
    net = SmallNet()
    decayed, free = named(net, parameter_groups(net, no_decay))
    assert decayed == ([name for name in NAMES if name not in spared], None)
    assert free == ([name for name in NAMES if name in spared], 0.0)


def test_a_net_may_name_what_is_spared(monkeypatch):
    monkeypatch.setattr(SmallNet, "no_weight_decay", lambda net: {"first.weight"}, raising=False)
    net = SmallNet()
    assert set(named(net, parameter_groups(net, True))[1][0]) == VECTORS | {"first.weight"}


def test_all_may_be_spared():
    net = nn.LayerNorm(5)
    assert named(net, parameter_groups(net, True)) == [(["weight", "bias"], 0.0)]


@pytest.mark.parametrize("no_decay", [None, True, ["*.bias"]])
def test_what_is_frozen_is_left_out(no_decay):
    net = SmallNet()
    net.first.requires_grad_(False)
    found = [name for names, _ in named(net, parameter_groups(net, no_decay)) for name in names]
    assert sorted(found) == ["gain", "last.bias", "last.weight"]


def test_a_pattern_must_match_what_is_trained():
    net = SmallNet()
    net.first.requires_grad_(False)
    for pattern in ("norm*", "BIAS", "first.bias"):
        with pytest.raises(ValueError, match=re.escape(f"is named like '{pattern}'; they look like 'gain'")):
            parameter_groups(net, ["last.*", pattern])


def test_the_model_s_optimizer_has_these_groups(small):
    torch.manual_seed(0)
    options = {"type": "AdamW", "lr": 0.01, "weight_decay": 0.3, "no_decay": True}
    model = small_model(network=NETWORK | {"norm": True}, optim_g=options)
    found = named(model.net_g, model.optimizer_g.param_groups)
    assert [decay for _, decay in found] == [0.3, 0.0]
    assert set(found[1][0]) == VECTORS | {"norm.weight", "norm.bias"}
