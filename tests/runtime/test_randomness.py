import random

import numpy as np
import pytest
import torch

from ir_plugins.runtime.randomness import kept_random_state, random_state, restore_random_state, seeded

DRAWS = {
    "python": random.random,
    "python's normal": lambda: random.gauss(0, 1),  # every other one comes from a cache
    "numpy": np.random.rand,
    "numpy's normal": np.random.randn,
    "torch": lambda: torch.rand(1).item(),
    "torch's normal": lambda: torch.randn(3).tolist(),
    "permutation": lambda: torch.randperm(17).tolist(),
}


def draw():
    return {name: function() for name, function in DRAWS.items()}


def seed_all(number):
    random.seed(number), np.random.seed(number), torch.manual_seed(number)


@pytest.mark.parametrize("draws_before", [0, 1, 700])
def test_every_generator_goes_back(draws_before, tmp_path):
    for _ in range(draws_before):
        draw()
    state = random_state()
    expected = [draw() for _ in range(5)]
    torch.save({"random": [state]}, tmp_path / "a.state")
    for kept in (state, torch.load(tmp_path / "a.state", weights_only=True)["random"][0]):
        seed_all(11)
        restore_random_state(kept)
        assert [draw() for _ in range(5)] == expected


def test_a_state_is_not_moved_by_later_draws():
    state = random_state()
    expected = draw()
    restore_random_state(state)
    assert draw() == expected
    restore_random_state(state)
    assert draw() == expected


@pytest.mark.parametrize("raises", [False, True])
def test_what_is_kept_is_as_if_nothing_had_been_drawn(raises):
    def within():
        with kept_random_state():
            seed_all(5)
            draw()
            if raises:
                raise KeyError

    expected = [draw() for _ in range(2)][1]
    seed_all(0)
    draw()
    if raises:
        with pytest.raises(KeyError):
            within()
    else:
        within()
    assert expected == draw()


def test_seeded_follows_from_its_numbers_alone():
    found = []
    for before in (3, 4):
        seed_all(before)
        with seeded(7, 0, 2):
            found.append([draw() for _ in range(3)])
    assert found[0] == found[1]


def test_other_numbers_give_others():
    found = []
    for numbers in [(7, 0, 2), (7, 2, 0), (7, 0, 3), (7, 0), (8, 0, 2), (0,), (2**40, 1)]:
        with seeded(*numbers):
            found.append(draw())
    for name in DRAWS:
        assert len({str(one[name]) for one in found}) == len(found), name


@pytest.mark.parametrize("raises", [False, True])
def test_seeded_leaves_what_comes_after_untouched(raises):
    draw()
    state = random_state()
    expected = draw()
    restore_random_state(state)
    try:
        with seeded(3):
            draw()
            if raises:
                raise KeyError
    except KeyError:
        pass
    assert draw() == expected


def test_seeded_nests():
    with seeded(1):
        draw()
        expected = draw()
    with seeded(1):
        draw()
        with seeded(2):
            draw()
        assert draw() == expected
