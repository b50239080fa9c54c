import logging
import os
from pathlib import Path

import pytest

from ir_plugins.training import logs
from ir_plugins.training.logs import open_log

pytestmark = pytest.mark.usefixtures("fresh_logger", "workplace")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is always full")
def test_a_log_on_a_full_disk_costs_one_line_and_goes_on_later(capsys):
    os.symlink("/dev/full", "run.log")
    logger = open_log(Path("run.log"))
    for line in range(3):
        logger.info(f"line {line}")
    printed = capsys.readouterr().err
    assert "Logging error" not in printed and "Traceback" not in printed
    assert printed.count("run.log: the log is not complete: No space left on device; the run continues") == 1
    assert all(f"line {line}" in printed for line in range(3))
    (file,) = (handler for handler in logger.handlers if isinstance(handler, logging.FileHandler))
    room = os.open("room.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, file.stream.fileno())
    logger.info("room again")
    assert "room again" in Path("room.log").read_text()


def test_a_second_start_within_a_second_keeps_the_first_log(monkeypatch):
    monkeypatch.setattr(logs, "get_time_str", lambda: "20261121_170000")
    for expected in ("train_x_20261121_170000.log", "train_x_20261121_170000_2.log"):
        file = logs.unused_log(".", "train_x")
        file.touch()
        assert file.name == expected


def test_names_that_are_no_valid_text_are_logged(monkeypatch):
    logger = open_log(Path("run.log"))
    # the others are of pytest, which cannot report such text
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    monkeypatch.setattr(logger, "handlers", files)
    monkeypatch.setattr(logger, "propagate", False)
    logger.info("picture \udcff\u0142.png")
    assert "picture \\udcff\u0142.png" in Path("run.log").read_text(encoding="utf-8")
