"""What runs of several ranks leave behind, and how to compare two of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import ranks
import torch

pytestmark = pytest.mark.usefixtures("fresh_logger")

LARGER = "datasets:train:dataset_enlarge_ratio=4"  # an epoch has 20 pictures

QUIET = "logger:use_tb_logger=false"


def checkpoint(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/models/net_g_{iteration}.pth", weights_only=True)


def state(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/training_states/{iteration}.state", weights_only=True)


def assert_same_bits(a, b):
    if isinstance(a, dict):
        assert set(a) == set(b)
    if isinstance(a, dict | list | tuple):
        assert len(a) == len(b)
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_same_bits(a[key], b[key])
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_same_run(a, b, iteration=4):
    for at in (iteration, "latest"):
        assert_same_bits(checkpoint(at, a), checkpoint(at, b))
    assert_same_bits(state(iteration, a), state(iteration, b))


def pictures(folder):
    return {str(file.relative_to(folder)): cv2.imread(str(file)) for file in Path(folder).rglob("*.png")}


def assert_same_pictures(a, b):
    assert set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def tree():
    return sorted(str(path) for path in Path().rglob("*") if not path.name.startswith("rank"))


def told(count=2):
    """What all ranks together print."""
    lines = [line for rank in range(count) for line in ranks.written(rank).splitlines()]
    return [line for line in lines if line.startswith("basicsr ")]
