"""How a run ends, and what it says there."""

import errno
import os
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.models import saving

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
