"""Processes that end with the one that started them."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import fresh
import pytest

from ir_plugins.runtime import parents

CHILD = """
    import os, time
    from pathlib import Path
    from ir_plugins.runtime import parents

    if os.fork() == 0:
        os.close(1), os.close(2)  # pipes of the test, which waits for their end
        {guard}
        Path("child").write_text(str(os.getpid()))
        time.sleep(30)
    while not Path("child").exists() or not Path("child").read_text():
        time.sleep(0.01)
    time.sleep(0.1)
    os._exit(0)  # as by SIGKILL: nothing is cleaned up
"""


def is_gone(process, seconds=5.0):
    """Whether a process ends, though nobody may reap it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("guard", ["parents.die_with_parent()", "parents.follow_torchrun()"])
def test_a_child_ends_with_its_parent(tmp_path, guard):
    assert fresh.run(CHILD.format(guard=guard), cwd=tmp_path, TORCHELASTIC_RUN_ID="x").returncode == 0
    assert is_gone(int((tmp_path / "child").read_text()))


def test_ranks_that_are_started_by_hand_outlive_their_shell(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = threading.active_count()
    parents.follow_torchrun()
    assert threading.active_count() == before


def test_an_orphan_saves_first_and_ends_in_any_case(monkeypatch):
    done = []
    monkeypatch.setattr(os, "kill", lambda process, number: done.append((process, number)))
    monkeypatch.setattr(os, "_exit", done.append)
    monkeypatch.setattr(parents, "GRACE", 0)
    parents._follow(parent=-1)
    assert done == [(os.getpid(), signal.SIGTERM), 143]
