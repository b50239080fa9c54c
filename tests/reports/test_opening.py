"""What the screen shows at the start, and what stands in the log file only."""

import logging

import pytest

from ir_plugins.cli import main
from ir_plugins.reports.opening import ON_SCREEN, FileOnly, schedule_warnings

pytestmark = pytest.mark.usefixtures("fresh_logger")


def test_the_screen_has_a_dozen_lines_and_the_log_file_everything(tiny, capsys):
    assert main(["train", "-opt", "tiny.yml", "--force_yml", "logger:use_tb_logger=false"]) == 0
    screen = capsys.readouterr().err
    lines = screen[: screen.index("[tiny..]")].splitlines()
    assert len(lines) <= 14 and "Training tiny" in lines[0]
    shown = "\n".join(lines)
    for told in (
        "SemanIR, 8,017 parameters",
        "train: 5 pictures of train; val: 3 pictures of val",
        "CPU threads, fp32",
        "4 iterations, batches of 2 patches of 14x14",
        "AdamW, learning rate 0.001, MultiStepLR",
        "every 2 iterations: psnr",
        "new run, seed 0",
        "experiments/tiny/models, every 2 iterations",
        "experiments/tiny/report.html",
    ):
        assert told in shown
    log = next((tiny.parent / "experiments/tiny").glob("*.log")).read_text()
    for told in ("Version Information", "  manual_seed: 0\n", "Number of train images: 5", "Training tiny"):
        assert told in log
    assert "Version Information" not in screen and "manual_seed" not in screen


def test_warnings_are_shown_all_the_same(capsys):
    logger = logging.Logger("here")
    logger.addHandler(logging.StreamHandler())
    first = FileOnly(logger)
    logger.info("unseen")
    logger.warning("seen")
    logger.info("seen at once", extra=ON_SCREEN)
    second = FileOnly(logger)  # of a run that follows one that has failed
    second.end()
    logger.info("seen too")
    assert capsys.readouterr().err == "seen\nseen at once\nseen too\n" and first is not second


@pytest.mark.parametrize(
    "block, count",
    [
        ({"type": "CosineAnnealingLR", "T_max": 40}, 1),
        ({"type": "CosineAnnealingLR", "T_max": 60}, 0),
        ({"type": "CosineAnnealingRestartCyclicLR", "periods": [10, 20]}, 1),
        ({"type": "CosineAnnealingRestartCyclicLR", "periods": [10, 50]}, 0),
        ({"type": "MultiStepLR", "milestones": [10]}, 0),
        (None, 0),
    ],
)
def test_a_cosine_that_ends_early_is_named(block, count):
    told = list(schedule_warnings({"total_iter": 60, "scheduler": block}))
    assert len(told) == count and all("60" in line and "\n" not in line for line in told)
