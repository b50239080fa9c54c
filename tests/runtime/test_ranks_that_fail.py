"""Several ranks report a mistake once, and none waits for one that failed."""

import datetime
import os
import signal
import time
from pathlib import Path

import pytest
import ranks
from rank_runs import LARGER, QUIET, told, tree

from ir_plugins.cli import main
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.runtime import distributed
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone

pytestmark = pytest.mark.usefixtures("fresh_logger")


@pytest.mark.parametrize(
    "override, message",
    [
        ("train:total_iter=none", "train:total_iter"),  # found before the ranks meet
        ("datasets:train:dataroot_gt=gone", "gone does not exist"),  # found by the first rank
        ("datasets:train:batch_size_per_gpu=3", "5 images are fewer than one step's 6"),  # by each
    ],
)
def test_a_mistake_is_reported_once_and_nothing_is_written(tiny, override, message):
    before = tree()
    assert ranks.run(2, ranks.task(override)) in ([2, 2], [2, 1])
    assert message in told()[0] and len(told()) == 1
    assert tree() == before and "Traceback" not in ranks.written(0) + ranks.written(1)


def test_each_rank_of_a_missing_file(tiny):
    assert ranks.run(2, lambda: main(["train", "-opt", "no.yml", "--launcher", "pytorch"])) == [2, 2]
    assert len(told()) == 1 and "no.yml: no such option file" in told()[0]


def test_where_the_first_rank_fails_alone_nobody_waits(tiny):
    Path("experiments").mkdir()
    begin = time.monotonic()
    with alone(Path("experiments/.tiny.lock"), ""):
        assert ranks.run(2, ranks.task(LARGER)) == [2, 1]
    assert time.monotonic() - begin < 60 and len(told()) == 1 and "another run" in told()[0]
    assert "Traceback" not in ranks.written(1)


def test_where_another_rank_fails_alone_it_says_so(tiny, monkeypatch):
    def fails(self, data):
        if self.opt["rank"] == 1:
            raise UserError("something is wrong here")
        feed(self, data)

    feed = RestorationModel.feed_data
    monkeypatch.setattr(RestorationModel, "feed_data", fails)
    assert ranks.run(2, ranks.task(LARGER, QUIET), GROUP_RANK="1") == [1, 2]
    assert len(told()) == 1 and told()[0].startswith("basicsr train: error: something is wrong here (on ")
    assert told()[0].endswith(", machine 1)")


def test_a_rank_that_is_killed_is_one_line_of_another(tiny, monkeypatch):
    def dies(self, data):
        if self.opt["rank"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        feed(self, data)

    feed = RestorationModel.feed_data
    monkeypatch.setattr(RestorationModel, "feed_data", dies)
    assert ranks.run(2, ranks.task(LARGER, QUIET)) == [2, -signal.SIGKILL]
    assert len(told()) == 1 and "another rank has ended, with a message of its own or killed" in told()[0]
    assert "Traceback" not in ranks.written(0)


def test_a_torchrun_that_is_gone_is_not_waited_for(tiny, capsys, monkeypatch):
    """Ranks that start meet in its store."""
    monkeypatch.setattr(distributed, "STORE_ANSWERS", datetime.timedelta(seconds=1))
    names = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    for name, value in (names | {"MASTER_PORT": "1", "TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "_fails_first", lambda: True)
    begin = time.monotonic()
    assert main(["train", "-opt", "tiny.yml", "--launcher", "pytorch"]) == 2
    assert time.monotonic() - begin < 20
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--launcher pytorch: the ranks did not meet at localhost:1: " in error


def test_launcher_without_torchrun(tiny, capsys, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    before = tree()
    assert main(["train", "-opt", "tiny.yml", "--launcher", "pytorch"]) == 2
    error = capsys.readouterr().err
    assert "RANK, LOCAL_RANK, WORLD_SIZE" in error and "start with torchrun" in error
    assert error.count("\n") == 1 and tree() == before
