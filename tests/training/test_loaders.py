"""Loaders are built from the options of a run: what makes a step, in which order, and how far."""

import random
from pathlib import Path

import pytest
import torch
from tiny import tiny_options

from ir_plugins.data.patch_plan import PatchStage
from ir_plugins.options.reading import complete
from ir_plugins.runtime.errors import UserError
from ir_plugins.training.loaders import train_loader, validation_loaders

from basicsr.data.paired_image_dataset import PairedImageDataset

pytestmark = pytest.mark.usefixtures("tiny")
STAGES = {"patch_sizes": [8, 10], "batch_sizes": [2, 1], "iters": [3, 1]}


def options(*, dist=False, rank=0, world_size=1, num_gpu=0, train=None, data=None):
    found = tiny_options()
    found["train"] |= train or {}
    found["datasets"]["train"] |= {"num_worker_per_gpu": 0} | (data or {})
    found["num_gpu"] = num_gpu
    return complete(found, is_train=True) | {"dist": dist, "rank": rank, "world_size": world_size}


def sizes(loader):
    return [tuple(batch["gt"].shape[i] for i in (0, 2, 3)) for batch in loader]


def test_a_batch_is_that_of_the_options():
    loader, order = train_loader(options(), None)
    assert (
        sizes(loader) == [(2, 14, 14)] * 4 and len(loader) == 4 and order.plan.stages == [PatchStage(None, 2)]
    )
    assert all(batch["lq"].shape == (2, 3, 7, 7) for batch in loader)


def test_a_step_takes_as_many_batches_as_are_accumulated():
    loader, _ = train_loader(options(train={"accumulate": 2}), None)
    assert sizes(loader) == [(4, 14, 14)] * 4


@pytest.mark.parametrize("num_gpu, dist, times", [(0, False, 1), (1, False, 1), (2, False, 2), (2, True, 1)])
def test_one_process_feeds_all_gpus_that_it_drives(num_gpu, dist, times):
    opt = options(num_gpu=num_gpu, dist=dist, data={"num_worker_per_gpu": 1})
    loader, order = train_loader(opt, None)
    assert order.plan.stages == [PatchStage(None, 2 * times)] and loader.num_workers == times


def test_stages_count_accumulated_batches_too():
    loader, _ = train_loader(options(train={"accumulate": 2, "progressive": STAGES}), None)
    assert sizes(loader) == [(4, 8, 8)] * 3 + [(2, 10, 10)]


def test_ranks_share_the_pictures_of_a_step():
    whole, _ = train_loader(options(train={"accumulate": 2}), None)
    parts = [train_loader(options(rank=rank, world_size=2), None)[0] for rank in (0, 1)]
    for step, *shares in zip(whole, *parts, strict=True):
        together = [None] * 4
        for rank, share in enumerate(shares):
            together[rank::2] = share["gt"]
        assert torch.equal(step["gt"], torch.stack(together))


def test_a_resumed_run_meets_what_it_would_have_met():
    _, order = train_loader(options(), None)
    whole = list(train_loader(options(), None)[0])
    ends = [step.end for step in order.steps()]
    for done in range(4):
        state = {"iter": done, "epoch": 0, "place": list(ends[done - 1] if done else (0, 0))}
        rest = list(train_loader(options(), state)[0])
        assert len(rest) == 4 - done
        for ours, theirs in zip(rest, whole[done:], strict=True):
            assert torch.equal(ours["gt"], theirs["gt"]) and ours["gt_path"] == theirs["gt_path"]


def test_basicsr_s_own_state_begins_its_epoch():
    _, order = train_loader(options(), {"iter": 2, "epoch": 5})
    steps = list(order.steps())
    assert [step.iteration for step in steps] == [3, 4] and steps[0].begin == (5, 0)


def test_the_order_of_a_folder_does_not_matter(monkeypatch):
    def met():
        return [batch["gt_path"] for batch in train_loader(options(), None)[0]]

    expected, build = met(), PairedImageDataset.__init__

    def shuffled(dataset, opt):
        build(dataset, opt)
        random.shuffle(dataset.paths)

    monkeypatch.setattr(PairedImageDataset, "__init__", shuffled)
    assert [met() for _ in range(3)] == [expected] * 3


def test_the_seed_and_nothing_else_chooses():
    first, random_number = list(train_loader(options(), None)[0]), torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), random_number)  # loading drew none of the network's
    other = options()
    other["manual_seed"] = 1
    second = list(train_loader(other, None)[0])
    assert not any(torch.equal(a["gt"], b["gt"]) for a, b in zip(first, second, strict=True))


def test_pictures_are_augmented_alike_in_any_worker():
    one, _ = train_loader(options(), None)
    two, _ = train_loader(options(data={"num_worker_per_gpu": 2}), None)
    for ours, theirs in zip(one, two, strict=True):
        assert torch.equal(ours["gt"], theirs["gt"]) and torch.equal(ours["lq"], theirs["lq"])


@pytest.mark.parametrize(
    "changed, epoch, batch",
    [
        ({"data": {"batch_size_per_gpu": 6}}, 5, 6),
        ({"train": {"accumulate": 3}}, 5, 6),
        ({"world_size": 3}, 5, 6),
        ({"data": {"dataset_enlarge_ratio": 3, "batch_size_per_gpu": 16}}, 15, 16),
        ({"train": {"progressive": STAGES | {"batch_sizes": [1, 7]}}}, 5, 7),
    ],
)
def test_an_epoch_must_fill_a_batch(changed, epoch, batch):
    with pytest.raises(UserError, match=rf"^datasets:train: an epoch of {epoch} .* batch of {batch}; lower "):
        train_loader(options(**changed), None)


def test_an_enlarged_epoch_may_fill_it():
    opt = options(data={"batch_size_per_gpu": 6, "dataset_enlarge_ratio": 2})
    assert sizes(train_loader(opt, None)[0]) == [(6, 14, 14)] * 4


def test_what_is_ahead_is_reported(messages):
    train_loader(options(data={"dataset_enlarge_ratio": 1.5}, train={"total_iter": 11}), None)
    for line in (
        "Number of train images: 5",
        "Require iter number per epoch: 4",
        "Total epochs: 3; iters: 11.",
    ):
        assert f"\t{line}" in messages[-1]


def test_validation_sets_are_met_picture_by_picture_in_their_order():
    opt = options()
    opt["datasets"]["val_2"] = opt["datasets"]["val"] | {"name": "second"}
    first, second = validation_loaders(opt)
    assert first.dataset.opt["name"] == "val" and second.dataset.opt["name"] == "second"
    assert [Path(batch["lq_path"][0]).stem for batch in first] == ["0", "1", "2"]
    assert sizes(first) == [(1, 14, 18), (1, 10, 22), (1, 26, 12)]
