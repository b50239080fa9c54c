"""Faults that a run survives or reports: damaged files, full disks, killed workers."""

import errno
import multiprocessing
import os
import resource
import signal
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch
from long_runs import finish, same, short, states

from ir_plugins.models import RestorationModel
from ir_plugins.runtime import storage

pytestmark = pytest.mark.usefixtures("fresh_logger")


class Crash(BaseException):
    """The process ends here, for all that the code can tell."""


@pytest.mark.parametrize("file", ["net_g_15.pth", "15.state", "net_g_best.pth", "net_g_latest.pth"])
@pytest.mark.parametrize("after", [1, 2])
def test_a_crash_while_saving(undisturbed, monkeypatch, file, after):
    """In the middle of the file, before it gets its name, and right after that."""
    undisturbed("whole")
    save_whole = storage.save_whole

    def torn(content, path):
        if path.name != file:
            return save_whole(content, path)
        if after == 2:
            save_whole(content, path)
        else:
            path.with_name(f".{path.name}.1.part").write_bytes(b"torn")
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr("ir_plugins.models.saving.save_whole", torn)
        short("torn")
    assert short("torn") == 0 and same("whole", "torn")


@pytest.mark.parametrize("file", ["training_states/20.state", "models/net_g_20.pth"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "one byte", "missing", "of another run"])
def test_a_damaged_newest_checkpoint_is_passed_over(undisturbed, capsys, file, damage):
    undisturbed("whole")
    undisturbed("other", "manual_seed=5")
    path, other = Path("experiments/whole", file), Path("experiments/other", file)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        record = archive.read(max(archive.infolist(), key=lambda info: info.file_size))
    middle = content.index(record) + len(record) // 2
    damaged = {
        "truncated": content[:-9],
        "empty": b"",
        "one byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "of another run": other.read_bytes(),  # whose state tells of other weights
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    capsys.readouterr()
    assert short("whole") == 0
    log = max(
        Path("experiments/whole").glob("train_*.log"), key=lambda file: file.stat().st_mtime_ns
    ).read_text()
    assert "Resuming training from epoch: 7, iter: 15." in log
    if damage != "missing" or path.suffix == ".pth":
        assert "; resuming from the one before" in log and path.name in log
    undisturbed("again")
    assert same("whole", "again")


def test_a_disk_that_is_full_for_a_while(undisturbed, monkeypatch, capsys):
    undisturbed("whole")
    save_whole = storage.save_whole

    def full(content, path):
        if path.name in ("10.state", "net_g_15.pth"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save_whole(content, path)

    monkeypatch.setattr("ir_plugins.models.saving.save_whole", full)
    assert short("full") == 0
    log = next(Path("experiments/full").glob("train_*.log")).read_text()
    for iteration in (10, 15):
        assert f"iteration {iteration} could not be saved: No space left on device; earlier ones" in log
    assert states("full") == [5, 20] and same("whole", "full")
    weights = {file.name for file in Path("experiments/full/models").iterdir()}
    assert weights == {"net_g_5.pth", "net_g_20.pth", "net_g_best.pth", "net_g_latest.pth"}


def test_a_file_larger_than_may_be_written(option_file):
    """The same with a real limit of the system, in the middle of a file."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        os._exit(short("limited") - 2)

    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    finish([process])
    root = Path("experiments/limited")
    assert not list((root / "training_states").iterdir()) and not list((root / "models").iterdir())
    assert "File too large; earlier ones are intact" in next(root.glob("train_*.log")).read_text()


def test_a_network_of_another_shape_is_refused(option_file, capsys):
    """A fused step would write beyond its moments."""
    assert short("shape", "train:total_iter=5") == 0
    assert short("shape", "path:strict_load_g=false", "network_g:num_feat=7") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "5.state: does not fit train:optim_g or train:scheduler: its exp_avg is " in error


def test_half_written_files_of_a_killed_run_are_removed(undisturbed):
    undisturbed("parts", "train:total_iter=10")
    root, folders = Path("experiments/parts"), ("", "models", "training_states", "visualization/deep/0")
    left = [root / folder / ".x.7.part" for folder in folders]
    mine = [
        root / "visualization/deep" / name for name in (".mine.part", "x.7.part", ".x.7.part.png", "a.part")
    ]
    left[-1].parent.mkdir(parents=True)
    for file in left + mine:
        file.write_bytes(b"half")
    assert short("parts") == 0
    assert not any(file.exists() for file in left) and all(file.exists() for file in mine)


WRONG = {
    "iter": ["4", -1, 10**30, None],
    "epoch": ["x"],
    "place": [5, None, [1, 2, 3], "ab", [-1, 5], [0.5, 1], [10**30, 0]],
    "random": [None, 5, [{}], [None]],
    "history": [5, {"losses": []}, {"losses": [5], "metrics": []}, {"losses": [], "metrics": [{}]}],
    "best": [5, [1], {"val": 5}, {"val": {"psnr": 5}}],
    "skipped": ["ab", [1]],
    "files": [5, [1], {"a": 5}],
    "optimizers": [5, [5], [{"state": 5}]],
    "schedulers": [[{"last_epoch": "x"}], [{}]],
    "seed": ["x", -1],
    "recipe": [5],
    "scaler": [5],
}


@pytest.mark.parametrize("key", WRONG)
def test_a_state_that_is_none_gets_one_line(undisturbed, capsys, key):
    path = Path("experiments/wrong/training_states/5.state")
    undisturbed("wrong", "train:total_iter=5")
    state = torch.load(path, weights_only=True)
    for value in WRONG[key]:
        torch.save(state | {key: value}, path)
        capsys.readouterr()
        assert short("wrong") == 2, value
        error = capsys.readouterr().err.splitlines()
        assert f"5.state: not a training state of ours or BasicSR's: {key} is not what" in error[-1], value
        assert not any("Traceback" in line for line in error)


def test_files_of_other_names_are_no_states(undisturbed):
    undisturbed("names", "train:total_iter=10")
    for name in ("²", "007", "latest", "-1", "+12"):
        Path(f"experiments/names/training_states/{name}.state").write_bytes(b"")
    assert short("names") == 0


@pytest.mark.parametrize("records", [0, 1, 5])
def test_tensorboard_on_a_full_disk_ends_no_run(option_file, monkeypatch, records):
    """Its thread writes so many records: none if not even its file can begin."""
    printed, written = [], []
    monkeypatch.setattr(threading, "excepthook", printed.append)

    def write(self, data):
        written.append(data)
        if len(written) > records:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", write)
    assert short("full", "logger:use_tb_logger=true") == 0 and not printed
    log = next(Path("experiments/full").glob("train_*.log")).read_text()
    assert log.count("tb_logger/full: TensorBoard ends here: No space left on device") == 1
    assert threading.excepthook == printed.append


def test_a_worker_that_is_killed_is_reported_in_one_line(undisturbed, monkeypatch, capsys):
    original = RestorationModel.optimize_parameters

    def step(self, current_iter):
        original(self, current_iter)
        if current_iter == 7:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(1)

    with monkeypatch.context() as patched:
        patched.setattr(RestorationModel, "optimize_parameters", step)
        assert short("killed") == 2
    text = "2 of 2 data workers were killed by SIGKILL, most likely because memory ran out"
    assert text in capsys.readouterr().err.splitlines()[-1]
    undisturbed("whole")
    assert short("killed") == 0 and same("whole", "killed")


def test_a_picture_that_is_gone_is_reported_in_one_line(option_file, monkeypatch, capsys):
    monkeypatch.setattr("ir_plugins.training.preflight.check_dataset", lambda *args: 5)
    import ir_plugins.training.pipeline as pipeline

    original = pipeline.train_loader

    def without(*arguments):
        found = original(*arguments)
        for file in Path("data/train/gt").iterdir():
            file.unlink()
        return found

    monkeypatch.setattr(pipeline, "train_loader", without)
    assert short("gone") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("basicsr train: error: ") and ".png" in error and "no such file" in error.lower()
