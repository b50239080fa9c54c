"""Weights that lost their training state when a process was killed."""

from pathlib import Path

import pytest
import torch
from small_model import small_model

pytestmark = pytest.mark.usefixtures("small")
MODELS, STATES = Path("experiments/tiny/models"), Path("experiments/tiny/training_states")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_weights_without_a_state_go_with_the_older_checkpoints():
    """A process was killed between the two files, or while it removed an older checkpoint."""
    model = small_model()
    model.opt["logger"]["keep_last"] = 2
    for number in (5, 10):
        model.save(0, number)
    for name in ("net_g_4.pth", "net_g_7.pth", "net_g_12.pth", "net_g_3.pth"):
        (MODELS / name).write_bytes(b"killed")
    (STATES / "3.state.old").write_bytes(b"of a run that another one has gone back from")
    model.save(0, 11)
    assert names(MODELS) == ["net_g_10.pth", "net_g_11.pth", "net_g_12.pth", "net_g_3.pth"]
    model.opt["logger"]["keep_last"] = None
    model.save(0, 12)
    assert "net_g_10.pth" in names(MODELS)


def test_a_resumed_run_removes_them_at_once():
    model = small_model()
    model.save(0, 5)
    (MODELS / "net_g_4.pth").write_bytes(b"killed")
    model.opt["logger"]["keep_last"] = 1
    model.resume_training(torch.load(STATES / "5.state", weights_only=True))
    assert names(MODELS) == ["net_g_5.pth"]
