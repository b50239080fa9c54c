"""What a command prints goes into a file on a full disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from ir_plugins.cli import main
from ir_plugins.runtime.output import lenient_output

FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not os.path.exists(FULL), reason="has no device that is always full")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_prints_and_progress_bars_go_on(monkeypatch, stream):
    with open(FULL, "w") as full:
        monkeypatch.setattr(sys, stream, full)
        with lenient_output():
            print("x" * 20_000, file=getattr(sys, stream), flush=True)
            assert sum(tqdm(range(3), file=getattr(sys, stream), mininterval=0)) == 3
        assert getattr(sys, stream) is full
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # it cannot be closed otherwise


@pytest.mark.parametrize("buffer", [100, 10**6])
def test_a_list_that_cannot_be_printed_is_an_error_of_one_line(monkeypatch, capsys, buffer):
    """It fails while it is printed, or at the end."""
    with open(FULL, "w", buffering=buffer) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list", "archs"]) == 2
        monkeypatch.undo()
    assert (
        capsys.readouterr().err
        == "basicsr list: error: standard output: No space left on device; make room\n"
    )


def test_an_error_that_cannot_be_printed_keeps_its_status(monkeypatch):
    with open(FULL, "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["check", "-opt", "nowhere.yml"]) == 2
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_folder_that_is_gone_is_named(tiny, capsys, tmp_path, monkeypatch):
    option_file, gone = tiny, tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["train", "-opt", str(option_file)]) == 2
    assert "error: the current folder does not exist any more" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (2,)])
def test_a_training_needs_no_standard_streams(tiny, closed):
    """As under some schedulers.  The next file that is opened would get the number of a closed one."""
    close = "".join(f"os.close({number});" for number in closed)
    program = "import os, sys; " + close + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    more = ["-m", "ir_plugins", "train", "-opt", str(tiny), "--force_yml", "train:total_iter=2"]
    done = subprocess.run([sys.executable, "-c", program, *more], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert Path("experiments/tiny/models/net_g_latest.pth").is_file()
