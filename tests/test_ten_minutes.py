"""What scripts/ten_minutes.py holds out, trains on and refuses; its training takes the minutes it says."""

import sys
from pathlib import Path

import pytest
import ten_minutes
from picture_sets import random_pixels, save

from ir_plugins.checks import option_file
from ir_plugins.runtime.errors import UserError


def test_every_few_pictures_one_of_each_kind_is_held_out(tmp_path):
    sources = {kind: tmp_path / kind for kind in ("lq", "gt")}
    for folder in sources.values():
        for number in range(7):
            save(folder / f"{number}.png", random_pixels(5, 7, seed=number))
    assert ten_minutes.split(sources, tmp_path / "out", 3) == {"train": 4, "held_out": 3}
    for kind in sources:
        held_out, train = (
            {path.name for path in (tmp_path / "out" / part / kind).iterdir()}
            for part in ("held_out", "train")
        )
        assert held_out == {"0.png", "3.png", "6.png"} and len(train) == 4 and not held_out & train
    with pytest.raises(UserError, match="too few pictures to hold one out"):
        ten_minutes.split({"gt": tmp_path / "lq"}, tmp_path / "other", 1)


@pytest.mark.parametrize("task", ten_minutes.TASKS)
def test_its_option_files_are_valid(task):
    options = ten_minutes.options(task, task, 100)
    option_file.check(options, "o.yml", is_train=False)
    options["datasets"].pop("test")
    option_file.check(options, "o.yml", is_train=True)


def test_what_is_there_is_not_overwritten(workplace, monkeypatch, capsys):
    save(workplace / "s/a.png", random_pixels(5, 7))
    Path("out/denoise").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["ten_minutes.py", "denoise", "--source", "s", "--output", "out"])
    assert ten_minutes.main() == 2
    assert "out/denoise exists already; delete it or name another" in capsys.readouterr().err
