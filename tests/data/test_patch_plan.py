import logging
from collections import Counter

import pytest
import torch

from ir_plugins.models.patch_plan import PatchPlan, plan_problems


def plan(**changes):
    return PatchPlan(**{"patch_sizes": [3, 5, 7], "batch_sizes": [4, 2, 1], "iters": [2, 1, 3]} | changes)


def numbered(batch=4, side=7, scale=1):
    """LQ and GT whose pixels say where they are: picture, row, column of the LQ."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    lq = torch.stack([torch.stack([torch.full((side, side), b), rows, columns]) for b in range(batch)])
    return lq.float(), lq.float().repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def test_stages_follow_the_iteration_alone_and_the_last_one_goes_on():
    assert [plan().stage(iteration) for iteration in range(1, 9)] == [0, 0, 1, 2, 2, 2, 2, 2]
    published = PatchPlan(
        patch_sizes=[128, 160, 192, 256, 320, 384],
        batch_sizes=[8, 5, 4, 2, 1, 1],
        iters=[92000, 64000, 48000, 36000, 36000, 24000],
    )
    ends = [92000, 156000, 204000, 240000, 276000, 300000]
    assert [published.stage(end) for end in ends] == [0, 1, 2, 3, 4, 5]
    assert [published.stage(end + 1) for end in ends] == [1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("iteration, count, side", [(1, 4, 3), (3, 2, 5), (6, 1, 7), (99, 1, 7)])
def test_crops_show_the_same_window_of_different_pictures(iteration, count, side, scale):
    sizes = [size * scale for size in (3, 5, 7)]
    lq, gt = plan(patch_sizes=sizes, scale=scale).crop(*numbered(scale=scale), iteration)
    assert lq.shape == (count, 3, side, side) and gt.shape == (count, 3, side * scale, side * scale)
    assert torch.equal(gt[..., ::scale, ::scale], lq)
    assert lq[:, 1:].unique(dim=0).shape[0] == 1  # one window for the batch
    assert len(lq[:, 0].unique()) == count


def test_every_picture_and_every_offset_comes():
    seen, shown = Counter(), Counter()
    for _ in range(400):
        lq, _ = plan(patch_sizes=[3, 4, 5], batch_sizes=[2, 2, 2]).crop(*numbered(), 1)
        seen[tuple(lq[0, 1:, 0, 0].int().tolist())] += 1
        shown.update(lq[:, 0, 0, 0].int().tolist())
    assert set(seen) == {(y, x) for y in range(5) for x in range(5)}  # 4 is the last offset
    assert set(shown) == {0, 1, 2, 3} and min(shown.values()) > 150


def test_what_is_smaller_already_is_taken_as_it_is():
    lq, gt = numbered(batch=1, side=2)
    assert all(torch.equal(a, b) for a, b in zip(plan().crop(lq, gt, 1), (lq, gt), strict=True))


def test_each_stage_is_announced_once(monkeypatch, caplog):
    monkeypatch.setattr("ir_plugins.models.patch_plan.get_root_logger", logging.getLogger)
    sizes = plan()
    with caplog.at_level(logging.INFO):
        for iteration in (2, 3, 4, 5):
            sizes.announce(iteration)
    lines = [record.message for record in caplog.records]
    assert [line.partition(" on: ")[0] for line in lines] == [f"From iteration {i}" for i in (2, 3, 4)]
    assert lines[1].endswith("patches of 5x5, batches of 2")


WRONG = [
    ({"iters": [2, 1]}, "patch_sizes has 3 stages, but iters has 2"),
    ({"batch_sizes": [4]}, "batch_sizes has 1 stages, but iters has 3"),
    ({"iters": [2, 0, 3]}, r"iters is \[2, 0, 3\]; expected a list of whole numbers"),
    ({"patch_sizes": 3}, "patch_sizes is 3; expected a list"),
    ({"patch_sizes": []}, r"patch_sizes is \[\]; expected a list"),
    ({"batch_sizes": [4, 2.5, 1]}, r"batch_sizes is \[4, 2.5, 1\]; expected"),
    ({"batch_sizes": [4, True, 1]}, r"batch_sizes is \[4, True, 1\]; expected"),
    ({"scale": 3}, "patch_sizes has 5, which is no multiple of scale 3"),
]


@pytest.mark.parametrize("changes, says", WRONG)
def test_a_plan_that_cannot_work_is_told(changes, says):
    with pytest.raises(ValueError, match=says):
        plan(**changes)


def test_a_plan_must_fit_what_the_loader_gives():
    given = [3, 5, 7], [4, 2, 1], [2, 1, 3]
    assert list(plan_problems(*given, largest_patch=7, largest_batch=4)) == []
    found = dict(plan_problems(*given, largest_patch=6, largest_batch=3))
    assert found["patch_sizes"] == "has 7, but gt_size is 6; raise gt_size"
    assert found["batch_sizes"] == "has 4, but batch_size_per_gpu is 3; raise batch_size_per_gpu"
