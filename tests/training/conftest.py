"""Fixtures of tests that resume a run."""

import shutil
from pathlib import Path

import pytest
import yaml
from long_runs import TOTAL, short
from tiny import tiny_options

TRAINED: dict[tuple[str, ...], Path] = {}  # by their flags


@pytest.fixture
def option_file(tiny):
    options = tiny_options()
    options["train"] |= {"total_iter": TOTAL, "scheduler": {"type": "MultiStepLR", "milestones": [17, 41]}}
    options["val"] |= {"val_freq": 10, "save_img": False}
    options["val"]["metrics"]["psnr"]["better"] = "lower"  # the first is best: a resumed run must know
    options["logger"] |= {"save_checkpoint_freq": 7, "keep_last": 3, "use_tb_logger": False}
    Path("o.yml").write_text(yaml.safe_dump(options))


@pytest.fixture
def undisturbed(option_file, tmp_path_factory):
    """A function that puts an undisturbed run into experiments/NAME; each is trained once for all tests."""

    def run(name, *flags):
        if flags in TRAINED:
            shutil.copytree(TRAINED[flags], Path("experiments", name))
        else:
            assert short(name, *flags) == 0
            TRAINED[flags] = tmp_path_factory.mktemp("undisturbed") / "run"
            shutil.copytree(Path("experiments", name), TRAINED[flags])

    return run
