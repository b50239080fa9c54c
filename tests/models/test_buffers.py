"""Buffers go back to what they were before a step, and constant tables are not copied for it."""

import pytest
import torch
from small_model import NETWORK, batches, small_model, train_on
from torch import nn

from ir_plugins.archs import AST
from ir_plugins.models.buffers import BufferBackups

TABLE, MASK = torch.arange(7), torch.tensor([True, False, True])


class Net(nn.Module):
    """With statistics that BatchNorm's kernel moves, a counter, and tables of every kind."""

    def __init__(self):
        super().__init__()
        self.norm, self.instance = nn.BatchNorm2d(3), nn.InstanceNorm2d(3, track_running_stats=True)
        for name, value in (("table", TABLE), ("mask", MASK), ("weights", torch.rand(5))):
            self.register_buffer(name, value.clone())

    def forward(self, x):
        return self.instance(self.norm(x))


def state(net):
    return {name: value.clone() for name, value in net.named_buffers()}


def changed(net, before):
    return {name for name, value in net.named_buffers() if not torch.equal(value, before[name])}


def write_table(net):
    net.table[2] = 99


def write_mask(net):
    net.mask.logical_not_()


def load(net):
    net.load_state_dict(
        {name: value + 1 if value.dtype != torch.bool else ~value for name, value in net.state_dict().items()}
    )


def replace(net):
    net.table = torch.arange(11)


@pytest.mark.parametrize("between", [write_table, write_mask, load, replace, Net.zero_grad])
@pytest.mark.parametrize("within", [write_table, write_mask, load, Net.zero_grad])
def test_every_buffer_goes_back_whatever_was_written_when(between, within):
    net = Net()
    backups = BufferBackups(net)
    for _ in range(3):
        between(net)
        before = state(net)
        backups.renew()
        net(torch.rand(2, 3, 4, 5))
        within(net)
        assert {"norm.running_mean", "norm.num_batches_tracked"} <= changed(net, before)
        backups.restore()
        assert not changed(net, before)


def test_a_buffer_that_a_validation_has_made_goes_back_too():
    net = Net()
    backups = BufferBackups(net)
    with torch.inference_mode():
        net(torch.rand(2, 3, 4, 5))
        net.table = torch.arange(3)
    backups.renew()
    before = state(net)
    with torch.inference_mode():
        net(torch.rand(2, 3, 4, 5))
        write_table(net)
    backups.restore()
    assert not changed(net, before)


def test_what_is_written_behind_torchs_back_goes_back_too():
    net = Net()
    backups = BufferBackups(net)
    backups.renew()
    before = state(net)
    net.table.data[3] = 5
    assert changed(net, before) == {"table"}
    backups.restore()
    assert not changed(net, before)


def test_index_tables_of_our_nets_are_not_copied():
    net = AST(embed_dim=4, depths=[2] * 9, num_heads=[1] * 9, win_size=4)
    tables = [name for name, _ in net.named_buffers() if name.endswith("relative_position_index")]
    backups = BufferBackups(net)
    backups.renew()
    assert len(tables) > 5 and len(backups.copies) == len(list(net.buffers())) - len(tables)


@pytest.mark.parametrize("wrong", [1, 3])
def test_a_step_that_is_not_taken_leaves_the_buffers(small, wrong):
    """At the first step and at a later one."""
    data = batches(3)
    data[wrong - 1]["gt"][0, 0, 0, 0] = torch.nan
    model = small_model(network=NETWORK | {"norm": True})
    train_on(model, data[: wrong - 1])
    before = state(model.net_g)
    train_on(model, data[wrong - 1 : wrong], first=wrong)
    assert model.skipped == 1 and not changed(model.net_g, before)
