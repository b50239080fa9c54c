import pytest

from ir_plugins.data.patch_plan import OneStage, PatchPlan, plan_problems

PLAN = {"patch_sizes": [6, 9, 11], "batch_sizes": [5, 3, 2], "iters": [2, 1, 3]}


def test_each_iteration_has_the_sizes_of_its_stage():
    plan = PatchPlan(**PLAN)
    sizes = [plan.at(iteration) for iteration in range(1, 9)]
    # the last stage goes on past its end
    assert sizes == [(6, 5), (6, 5), (9, 3), (11, 2), (11, 2), (11, 2), (11, 2), (11, 2)]


def test_the_published_plan_changes_where_the_paper_says():
    plan = PatchPlan(
        patch_sizes=[128, 160, 192, 256, 320, 384],
        batch_sizes=[8, 5, 4, 2, 1, 1],
        iters=[92000, 64000, 48000, 36000, 36000, 24000],
    )
    for end, before, after in ((92000, 128, 160), (156000, 160, 192), (204000, 192, 256), (276000, 320, 384)):
        assert (plan.at(end).patch_size, plan.at(end + 1).patch_size) == (before, after)


def test_one_stage_lasts_for_ever():
    assert {OneStage(None, 7).at(iteration) for iteration in (1, 2, 10**6)} == {(None, 7)}


@pytest.mark.parametrize(
    "changes, scale, name, text",
    [
        ({"iters": [2, 1]}, 1, "patch_sizes", "has 3 stages, but iters has 2; give each stage one"),
        ({"patch_sizes": [6, 0, 11]}, 1, "patch_sizes", "expected a list of whole numbers of at least 1"),
        ({"batch_sizes": [5, True, 2]}, 1, "batch_sizes", "expected a list of whole numbers"),
        ({"iters": []}, 1, "iters", "is []; expected a list"),
        ({"iters": 4}, 1, "iters", "is 4; expected a list"),
        ({}, 2, "patch_sizes", "has 9, which is no multiple of scale 2; take one"),
    ],
)
def test_what_is_wrong_with_a_plan(changes, scale, name, text):
    problems = list(plan_problems(**PLAN | changes, scale=scale))
    assert any(who == name and text in what for who, what in problems), problems
    if scale == 1:
        with pytest.raises(ValueError, match=name):
            PatchPlan(**PLAN | changes)


def test_nothing_is_wrong_with_a_good_plan():
    assert not list(plan_problems(**PLAN))
