"""How a run ends, and what it says there."""

import errno
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.models import RestorationModel, baseline, saving
from ir_plugins.models.results import measure

pytestmark = pytest.mark.usefixtures("fresh_logger")
ROOT = Path("experiments/tiny")


def train(*overrides, resume=False):
    more = ["--auto_resume"] if resume else []
    return main(["train", "-opt", "tiny.yml", *more, *(["--force_yml", *overrides] if overrides else [])])


def log():
    return "".join(path.read_text() for path in sorted(ROOT.glob("train_*.log")))


def weights(name):
    return torch.load(ROOT / f"models/net_g_{name}.pth", weights_only=True)["params"]


def test_the_validation_after_the_last_iteration_does_not_choose_the_best(tiny):
    """A longer run would not have it: 2 is measured, and 3, the last, as the better one."""
    better = "val:metrics:psnr:better"
    assert train("train:total_iter=3", f"{better}=higher", "train:optim_g:lr=0.1", "train:ema_decay=0") == 0
    text = log()
    assert text.count("Validation val") == 2
    values = [float(line.split("# psnr: ")[1].split()[0]) for line in text.splitlines() if "# psnr" in line]
    assert values[0] != values[1]
    if values[1] < values[0]:  # so that the last one would be the best
        direction = f"{better}=lower"
        assert train("train:total_iter=3", direction, "train:optim_g:lr=0.1", "train:ema_decay=0") == 0
    best, second, last = (weights(name) for name in ("best", 2, 3))
    assert all(torch.equal(best[key], second[key]) for key in best)
    assert not all(torch.equal(best[key], last[key]) for key in best)


def test_net_g_latest_alone_that_cannot_be_written_is_no_success(tiny, monkeypatch, capsys):
    save_whole = saving.save_whole

    def full(content, path):
        if path.name == "net_g_latest.pth":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save_whole(content, path)

    with monkeypatch.context() as patched:
        patched.setattr(saving, "save_whole", full)
        assert train() == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == (
        "basicsr train: error: net_g_latest.pth could not be saved: No space left on device; earlier ones "
        "are intact; make room and finish the run with --auto_resume"
    )
    assert (ROOT / "models/net_g_4.pth").exists() and not (ROOT / "models/net_g_latest.pth").exists()
    assert train(resume=True) == 0 and (ROOT / "models/net_g_latest.pth").exists()


def test_a_run_without_validation_has_a_report_too(tiny):
    options = tiny_options()
    del options["datasets"]["val"], options["val"]
    tiny.write_text(yaml.safe_dump(options))
    assert train() == 0
    text = (ROOT / "report.html").read_text(encoding="utf-8")
    assert "iteration 4 of 4 (100 %)" in text and "No validation has measured anything yet." in text


def test_a_run_that_is_over_says_so(tiny):
    assert train() == 0
    assert "Already at iteration" not in log()
    assert train(resume=True) == 0
    assert "Already at iteration 4 of 4; raise train:total_iter to continue" in log()


def test_the_remaining_time_ends_at_zero(tiny):
    assert train() == 0
    left = [line.split("[eta: ")[1].split(",")[0] for line in log().splitlines() if "[eta: " in line]
    assert len(left) == 4 and left[-1] == "0:00:00" and "day" not in "".join(left)


def test_the_report_of_a_stopped_run_is_at_the_iteration_that_was_saved(tiny, monkeypatch):
    step = RestorationModel.optimize_parameters

    def stopped(self, current_iter):
        step(self, current_iter)
        if current_iter == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RestorationModel, "optimize_parameters", stopped)
        # nothing is logged or validated before the signal
        assert train("logger:print_freq=100", "val:val_freq=100") != 0
    text = (ROOT / "report.html").read_text(encoding="utf-8")
    assert "stopped at iteration 3" in log() or "Stopped at iteration 3" in log()
    assert "iteration 3 of 4 (75.0 %)" in text
    assert train("logger:print_freq=100", "val:val_freq=100", resume=True) == 0
    text = (ROOT / "report.html").read_text(encoding="utf-8")
    assert "iteration 4 of 4 (100 %)" in text and "resumed at iteration 3" in text


def test_the_inputs_are_measured_once_over_all_resumes(tiny, monkeypatch):
    asked = []

    def measured(pictures, blocks):
        asked.append(list(blocks))
        return measure(pictures, blocks)

    monkeypatch.setattr(baseline, "measure", measured)
    assert train("train:total_iter=3") == 0
    assert len(asked) == 3  # of two validations, three pictures each
    assert train("train:total_iter=6", "val:val_freq=1", resume=True) == 0
    assert len(asked) == 3
    assert log().count("For comparison, val's input, bicubic x2: psnr") == log().count("Validation val")
    assert "bicubic x2" in (ROOT / "report.html").read_text(encoding="utf-8")
