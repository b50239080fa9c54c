"""Several ranks do what one process does, and go on after a signal."""

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import ranks
import torch
from rank_runs import LARGER, QUIET, assert_same_pictures, assert_same_run, checkpoint, pictures, state, told
from torch import nn

from ir_plugins.models import saving
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.runtime import distributed

from basicsr.utils.registry import ARCH_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger")

pytestmark = pytest.mark.usefixtures("fresh_logger")


@pytest.mark.parametrize("accumulate", [None, 2])
def test_two_ranks_learn_as_one_process_with_twice_the_batch(tiny, accumulate):
    more = [LARGER, QUIET, "train:total_iter=6", "logger:save_checkpoint_freq=6", "val:val_freq=6"]
    more += [f"train:accumulate={accumulate}"] if accumulate else []
    # each rank drops paths of its own, but all take the same k
    more += ["network_g:drop_path_rate=0", "network_g:train_top_k=[3,7,12,25]"]
    ranks.train("name=two", "datasets:train:batch_size_per_gpu=1", *more)
    ranks.train("name=one", "datasets:train:batch_size_per_gpu=2", *more, ranks=1)
    two, one = state(6, "two"), state(6, "one")
    assert two["place"] == one["place"] and len(one["history"]["losses"]) == 6
    for a, b in zip(two["history"]["losses"], one["history"]["losses"], strict=True):
        assert a == pytest.approx(b, abs=1e-5, rel=0)
    for key in ("params", "params_ema"):
        a, b = checkpoint(6, "two")[key], checkpoint(6, "one")[key]
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=0)


def test_validation_gives_every_rank_the_digits_of_one_process(tiny):
    """Three pictures: on two ranks unevenly, on four not one for each."""
    # the training state is saved before the validation of its iteration, so the second one holds the first's
    untouched = ["train:optim_g:lr=0", "train:ema_decay=0", "train:total_iter=2", "val:val_freq=1", LARGER]
    for count in (1, 2, 4):
        ranks.train(f"name=on_{count}", *untouched, QUIET, ranks=count)
    expected = state(2, "on_1")["history"]["metrics"]
    assert len(expected) == 1 and expected[0]["psnr"] > 5
    shown = pictures("experiments/on_1/visualization")
    assert sorted(shown) == [f"{i}/{i}_{n}.png" for i in range(3) for n in (1, 2)]
    for count in (2, 4):
        assert state(2, f"on_{count}")["history"]["metrics"] == expected
        assert_same_pictures(pictures(f"experiments/on_{count}/visualization"), shown)


class Normed(nn.Module):
    """A net whose statistics differ from rank to rank."""

    def __init__(self, *, dim: int = 5, upscale: int = 2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.Conv2d(dim, 3 * upscale**2, 1)
        )
        self.upscale = upscale

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.body(x), self.upscale)


@pytest.fixture
def normed():
    ARCH_REGISTRY._do_register("Normed", Normed)
    yield ["network_g={type: Normed}", "train:ema_decay=0", LARGER, QUIET]
    del ARCH_REGISTRY._obj_map["Normed"]


def test_a_net_with_buffers_and_no_average_is_validated_as_it_is_saved(tiny, normed):
    """BasicSR's validation ends in a deadlock there."""
    ranks.train(*normed)
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_4.pth"
    ranks.train(weights, "network_g={type: Normed}", command="test", ranks=1)
    shown = pictures("experiments/tiny/visualization")
    again = {f"{i}/{i}_4.png": cv2.imread(f"results/tiny/visualization/val/{i}_tiny.png") for i in range(3)}
    assert_same_pictures({name: shown[name] for name in again}, again)


def test_test_on_two_ranks(tiny):
    ranks.train("train:total_iter=1", QUIET, ranks=1)
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_latest.pth"
    for name, count in (("one", 1), ("two", 2), ("two", 2)):  # the second moves the first away
        ranks.train(weights, f"name={name}", "val:suffix=x", command="test", ranks=count)
    one, two = (pictures(f"results/{name}/visualization") for name in ("one", "two"))
    assert_same_pictures(one, two)
    assert len(one) == 3 and len(list(Path("results").glob("two_archived*/visualization/val/*.png"))) == 3
    logs = [next(Path("results", name).glob("*.log")).read_text() for name in ("one", "two")]
    lines = [[line for line in log.splitlines() if "# psnr" in line] for log in logs]
    assert lines[0] == lines[1] and len(lines[0]) == 1
    assert "INFO" not in ranks.written(1)


def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_by_all(tiny, monkeypatch):
    losses, seen = RestorationModel._losses, []

    def spoiled(self, *args):
        seen.append(args)
        values = losses(self, *args)
        return (
            {k: v * float("nan") for k, v in values.items()}
            if self.opt["rank"] and len(seen) == 2
            else values
        )

    step = RestorationModel.optimize_parameters

    def compared(self, iteration):
        step(self, iteration)
        weights = torch.cat([p.detach().flatten() for p in self.net_g.parameters()])
        assert all(torch.equal(weights, other) for other in distributed.gathered(weights))
        assert weights.isfinite().all()

    monkeypatch.setattr(RestorationModel, "_losses", spoiled)
    monkeypatch.setattr(RestorationModel, "optimize_parameters", compared)
    ranks.train(LARGER, QUIET)
    rows = state(4)["history"]["losses"]
    assert [row.get("skipped") for row in rows] == [None, 1, 1, 1]
    assert np.isnan(rows[1]["l_pix"]) and np.isfinite(rows[2]["l_pix"]) and state(4)["skipped"] == [1, 0]


def interrupted_at(iteration, rank=1):
    """A run with a rank that gets a signal in the middle of an iteration."""
    step = RestorationModel.optimize_parameters

    def told_to_end(self, current_iter):
        if current_iter == iteration and self.opt["rank"] == rank:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, current_iter)

    RestorationModel.optimize_parameters = told_to_end


def test_a_signal_to_one_rank_ends_all_at_one_iteration(tiny, monkeypatch):
    monkeypatch.setattr(RestorationModel, "optimize_parameters", RestorationModel.optimize_parameters)
    more = [LARGER, QUIET, "network_g:drop_path_rate=0.5"]
    ranks.train(*more, "name=undisturbed")

    def task():
        interrupted_at(3)
        return ranks.task(*more)()

    assert ranks.run(2, task) == [143, 143]
    assert told() == [
        "basicsr train: stopped at iteration 3 by SIGTERM, and saved; --auto_resume continues from there"
    ]
    assert state(3)["iter"] == 3
    assert ranks.run(2, ranks.task(*more, auto_resume=True)) == [0, 0]
    assert_same_run("tiny", "undisturbed")


def test_a_signal_in_a_validation_does_not_wait_for_its_end(tiny, monkeypatch):
    ranks.train(LARGER, QUIET, "name=undisturbed")
    show = RestorationModel.as_picture

    def told_to_end(self, output):
        if self.opt["rank"] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return show(self, output)

    monkeypatch.setattr(RestorationModel, "as_picture", told_to_end)
    assert ranks.run(2, ranks.task(LARGER, QUIET)) == [143, 143]
    assert len(pictures("experiments/tiny")) == 2  # each rank's first; rank 0 had another
    assert [line[:44] for line in told()] == ["basicsr train: stopped at iteration 2 by SIG"]
    monkeypatch.undo()
    os.chdir(tiny.parent)
    assert ranks.run(2, ranks.task(LARGER, QUIET, auto_resume=True)) == [0, 0]
    assert_same_run("tiny", "undisturbed")


def test_another_number_of_ranks_goes_on(tiny):
    ranks.train("train:total_iter=2", LARGER, QUIET)
    assert ranks.run(1, ranks.task(LARGER, QUIET, launcher=False, auto_resume=True)) == [0]
    assert "is of 2 processes, this run has 1" in ranks.written(0)
    assert [row["iter"] for row in state(4)["history"]["losses"]] == [1, 2, 3, 4]
    assert ranks.run(3, ranks.task(LARGER, QUIET, "train:total_iter=6", auto_resume=True)) == [0, 0, 0]
    # 2 steps of 4 pictures, 2 of 2 and 1 of 6 leave 2 of the epoch's 20
    assert state(6)["place"] == [1, 6]


def test_what_torchrun_starts_anew_goes_on_unasked(tiny):
    def folder(name):
        return {"TORCHELASTIC_ERROR_FILE": f"/logs/{name}/attempt_0/0/error.json"}

    def archived():
        return len(list(Path("experiments").glob("tiny_archived*")))

    more = [LARGER, QUIET]
    ranks.train(*more, "train:total_iter=2", **folder("a"))
    ranks.train(*more, **folder("a"), TORCHELASTIC_RESTART_COUNT=1)
    assert "Resuming training from epoch: 0, iter: 2" in ranks.written(0) and archived() == 0
    # another torchrun's run is none of its business, even where its first start came to nothing
    ranks.train(*more, **folder("b"), TORCHELASTIC_RESTART_COUNT=1)
    assert "Resuming" not in ranks.written(0) and archived() == 1


def test_a_full_disk_on_the_rank_that_saves(tiny, monkeypatch):
    def full(content, path):
        if path.name == "2.state":  # not the last one, without which the run would fail
            raise OSError(28, "No space left on device")
        return save(content, path)

    save = saving.save_whole
    monkeypatch.setattr(saving, "save_whole", full)
    ranks.train(LARGER, QUIET)  # the ranks do not wait for each other
    assert "could not be saved: No space left on device" in ranks.written(0)
