"""The report while a run goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_options

from ir_plugins.models.results import PictureResult, SetResult
from ir_plugins.models.samples import Sample
from ir_plugins.options.reading import complete
from ir_plugins.reports import live
from ir_plugins.reports.live import LiveReport

REPORT, SESSIONS = Path("run/report.html"), Path("run/.sessions.json")
EMPTY = {"losses": [], "metrics": []}


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(workplace, monkeypatch):
    found = Clock()
    monkeypatch.setattr(live, "time", found)
    return found


def report(start=0, rank=0):
    opt = complete(tiny_options(), is_train=True)
    opt["path"]["experiments_root"], opt["rank"], opt["train"]["total_iter"] = "run", rank, 1000
    return LiveReport(opt, EMPTY, start)


def found(name="bird"):
    picture = np.zeros((8, 8, 3), np.uint8)
    return SetResult(
        "val",
        {},
        [PictureResult("val", "", name, 8, 8, {"psnr": 30.0})],
        [Sample("val", name, picture, picture, picture)],
    )


def test_it_is_written_at_once_and_then_every_minute(clock):
    one = report()
    one.refresh(1, 0.5)
    assert "iteration 1 of 1,000" in REPORT.read_text()
    for seconds, expected in ((59, 1), (2, 3), (58, 3), (3, 5)):
        clock.now += seconds
        one.refresh(expected if seconds < 10 else 999, 0.5)
        assert f"iteration {expected} of 1,000" in REPORT.read_text()
    assert "2 iterations/s" in REPORT.read_text()


def test_a_report_that_takes_long_is_written_less_often(clock, monkeypatch):
    def slow(*arguments):
        clock.now += 5
        return True

    monkeypatch.setattr(live, "write_report", slow)
    one = report()
    one.write(1)
    assert one.due - clock.now == pytest.approx(5 / live.SHARE - 5)


def test_a_report_that_cannot_be_written_ends_no_run(clock, monkeypatch):
    monkeypatch.setattr(live, "sections", lambda *arguments: 1 / 0)
    one = report()
    one.refresh(1, 1.0)
    assert not REPORT.exists() and one.due - clock.now == live.EVERY_FAULT


def test_time_adds_up_over_resumes_and_each_is_marked(clock):
    first = report()
    clock.now += 3600
    first.write(40)
    assert json.loads(SESSIONS.read_text()) == [{"from": 0, "to": 40, "seconds": 3600.0}]
    second = report(21)  # killed after its last checkpoint
    clock.now += 1800
    second.write(30)
    text = REPORT.read_text()
    assert "1 h 30 min so far" in text and "resumed at iteration 21<" in text and "iteration 30 of" in text
    third = report(30)
    clock.now += 60
    third.write(90, 1.0)
    text = REPORT.read_text()
    assert "resumed at iteration 21, 30<" in text and "about 15 min left" in text


def test_a_new_run_begins_at_zero(clock):
    SESSIONS.parent.mkdir()
    SESSIONS.write_text('[{"from": 0, "to": 40, "seconds": 3600.0}]')
    report().write(1)
    assert len(json.loads(SESSIONS.read_text())) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[[]]", '[{"from": "a"}]', "[" * 100_000, '[{"from": 1, "to": 2, "seconds": 1e400}]']
)
def test_a_damaged_file_of_sessions_is_passed_over(clock, content):
    SESSIONS.parent.mkdir()
    SESSIONS.write_text(content)
    report(21).write(30)
    assert "resumed at iteration 21<" in REPORT.read_text()


def test_a_resumed_run_shows_the_pictures_of_before_until_it_validates(clock):
    first = report()
    first.show(20, found("bird"))
    first.write(21)
    assert "iteration 20" in REPORT.read_text()
    second = report(21)
    second.write(22)
    text = REPORT.read_text()
    assert text.count("<img") == 3 and "iteration 20" in text and "bird" in text
    second.show(40, found("baby"))
    second.write(40)
    text = REPORT.read_text()
    assert text.count("<img") == 3 and "baby" in text and "bird" not in text
    report().write(1)
    assert "<img" not in REPORT.read_text()  # of another run


def test_other_ranks_write_nothing(clock):
    one = report(rank=1)
    one.refresh(1, 1.0)
    one.write(1)
    assert not REPORT.parent.exists()
