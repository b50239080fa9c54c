"""What a net draws once per training step."""

import pytest
import torch
from small_model import batches, small_model, train_on
from tiny import SEMANIR

from ir_plugins.blocks.key_semantic import KeySemanticAttention

NETWORK = {"type": "SemanIR", **SEMANIR, "top_k": 7, "train_top_k": [2, 5, 11]}


@pytest.fixture
def used(monkeypatch):
    """The k of every training forward."""
    numbers, share = [], KeySemanticAttention.share
    monkeypatch.setattr(
        KeySemanticAttention, "share", lambda self, x, k=None: numbers.append(k) or share(self, x, k)
    )
    return numbers


def of_a_run(used, *, process=0, first=1, steps=20, accumulate=1, **options):
    """The k of every micro-batch of some iterations, in a process whose random numbers are its own."""
    model = small_model(network=NETWORK, accumulate=accumulate, **options)
    torch.manual_seed(process)
    used.clear()
    train_on(model, batches(steps), first)
    return [used[i : i + accumulate] for i in range(0, len(used), accumulate)]


def test_all_ranks_and_micro_batches_take_the_same_k(used):
    one = [k for (k,) in of_a_run(used)]
    assert set(one) == {2, 5, 11}
    assert of_a_run(used, process=1) == [[k] for k in one]
    assert of_a_run(used, process=2, accumulate=3) == [[k] * 3 for k in one]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_resumed_run_takes_what_the_whole_run_takes(used):
    assert of_a_run(used, first=9, steps=12) == of_a_run(used)[8:]


def test_another_seed_takes_others(used, monkeypatch):
    one = of_a_run(used)
    model = small_model(network=NETWORK)
    model.opt["manual_seed"] = 1
    used.clear()
    train_on(model, batches(20))
    assert [[k] for k in used] != one


def test_outside_a_step_each_forward_draws_and_a_step_that_fails_leaves_no_k(used):
    model = small_model(network=NETWORK)
    net, wrong = model.net_g, batches(1)
    wrong[0]["lq"] = torch.rand(6, 4, 7, 5)  # four channels
    with pytest.raises(ValueError, match="expected pictures"):
        train_on(model, wrong)
    used.clear()
    for _ in range(40):
        net(torch.rand(1, 3, 6, 6))
    assert set(used) == {2, 5, 11}
    used.clear()
    with net.one_draw(0, 1):
        net.eval()(torch.rand(1, 3, 6, 6))
    assert used == [7]


def test_a_net_without_numbers_to_choose_from_is_left_alone(used):
    model = small_model(network=NETWORK | {"train_top_k": []})
    train_on(model, batches(2))
    assert used == [7, 7]
