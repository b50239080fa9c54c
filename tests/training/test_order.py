"""The order of the data depends on seed, epoch and options alone."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ir_plugins.data.patch_plan import OneStage, PatchPlan
from ir_plugins.runtime.interruption import ignore_signals
from ir_plugins.training.order import Drawn, Place, TrainOrder

from basicsr.data.data_sampler import EnlargedSampler


class Numbers:
    """A dataset of BasicSR's kind: items tell their index, their patch size and three random numbers."""

    def __init__(self, count):
        self.opt, self.count = {"gt_size": 5}, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index, self.opt["gt_size"], random.random(), np.random.rand(), torch.rand(1).item()


PLAN = PatchPlan(patch_sizes=[6, 9], batch_sizes=[4, 3], iters=[3, 5])


def order(count=23, plan=PLAN, **arguments):
    return TrainOrder(Drawn(Numbers(count)), plan, total_iter=11, **arguments)


def items(order, workers=0):
    data = Drawn(Numbers(len(order.dataset)))
    loader = DataLoader(data, batch_sampler=order, num_workers=workers, worker_init_fn=ignore_signals)
    return [[tensor.tolist() for tensor in batch] for batch in loader]


def test_an_epoch_is_that_of_basicsr():
    sampler, batches = EnlargedSampler(Numbers(23), 1, 0, 2), list(order(plan=OneStage(None, 4), ratio=2))
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        indices = [draw.index for batch in batches[epoch * 11 : epoch * 11 + 11] for draw in batch]
        assert indices == list(sampler)[: len(indices)] and len(indices) == (44 if epoch == 0 else 0)


def test_what_does_not_fill_a_batch_is_left_out():
    steps = list(order(count=10, plan=OneStage(None, 4)).steps())
    assert [step.begin for step in steps[:5]] == [(0, 0), (0, 4), (1, 0), (1, 4), (2, 0)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_number_of_workers_has_no_say(workers):
    assert items(order(), workers) == items(order())


@pytest.mark.parametrize("cut", range(1, 11))
def test_begun_in_the_middle_it_goes_on_the_same(cut):
    whole, steps = items(order()), list(order().steps())
    rest = items(order(first=cut + 1, place=steps[cut - 1].end))
    assert rest == whole[cut:]


def test_each_stage_has_its_patches_and_batches():
    found = [(len(batch[0]), set(batch[1])) for batch in items(order())]
    assert found == [(4, {6})] * 3 + [(3, {9})] * 8


def test_random_numbers_differ_between_pictures_epochs_and_seeds_and_nothing_else():
    numbers = [value for batch in items(order()) for value in batch[2]]
    assert len(set(numbers)) == len(numbers)
    other = [value for batch in items(order(seed=1)) for value in batch[2]]
    assert not set(numbers) & set(other)
    random.seed(9)
    torch.manual_seed(9)
    assert [value for batch in items(order()) for value in batch[2]] == numbers


def test_the_network_s_random_numbers_are_left_alone():
    states = []
    for draws in (False, True):
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        if draws:
            Drawn(Numbers(5))[next(iter(order()))[0]]
        states.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert states[0] == states[1]


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_draw_what_one_process_would(world_size):
    plan = OneStage(None, 6 // world_size)
    ranks = [list(order(plan=plan, rank=rank, world_size=world_size)) for rank in range(world_size)]
    together = [sorted(draw for batch in batches for draw in batch) for batches in zip(*ranks, strict=True)]
    assert together == [sorted(batch) for batch in order(plan=OneStage(None, 6))]


def test_an_epoch_smaller_than_a_batch():
    with pytest.raises(ValueError, match="an epoch of 7 pictures is smaller than a batch of 8"):
        order(count=7, world_size=2)
    assert Place() == (0, 0)
