"""The folder of a run: one run of a name at a time, and an older one is kept."""

import builtins
import errno
import os
import time
from pathlib import Path

import pytest
import torch
from tiny_runs import tree

from ir_plugins.cli import main
from ir_plugins.options.reading import OptionFile, read_options
from ir_plugins.runtime.locks import alone
from ir_plugins.training import folders, preflight
from ir_plugins.training.folders import make_folders

from basicsr.archs import build_network

pytestmark = pytest.mark.usefixtures("fresh_logger")
ROOTS = {"train": "experiments", "test": "results"}
QUICK = ["train:total_iter=1", "val:val_freq=9", "logger:save_checkpoint_freq=9"]


@pytest.fixture
def run(tiny):
    """A function that trains or tests, and returns the exit status."""
    import yaml

    net = yaml.safe_load(tiny.read_text())["network_g"]
    torch.save({"params": build_network(net | {"upscale": 2}).state_dict()}, "w.pth")

    def go(command):
        more = QUICK if command == "train" else ["path:pretrain_network_g=w.pth"]
        return main([command, "-opt", "tiny.yml", "--force_yml", *more])

    return go


@pytest.mark.parametrize("command", ROOTS)
def test_one_run_of_a_name_at_a_time(run, capsys, command):
    Path(ROOTS[command]).mkdir()
    before = tree()
    with alone(Path(ROOTS[command], ".tiny.lock"), ""):
        assert run(command) == 2
    error = capsys.readouterr().err
    expected = f"{ROOTS[command]}/tiny is being written by another run; wait for it, or choose another name"
    assert error == f"basicsr {command}: error: {expected}\n"
    assert [path for path in tree() if not path.endswith(".lock")] == before


def test_a_test_beside_a_training_of_the_same_name(run):
    Path("experiments").mkdir()
    with alone(Path("experiments/.tiny.lock"), ""):
        assert run("test") == 0


@pytest.mark.parametrize("command", ROOTS)
@pytest.mark.parametrize("lock", ["folder", "its folder is a file"])
def test_a_lock_that_cannot_be_made(run, capsys, command, lock):
    root = Path(ROOTS[command])
    if lock == "folder":
        (root / ".tiny.lock").mkdir(parents=True)
    else:
        root.write_text("mine")
    before = tree()
    assert run(command) == 2 and tree() == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{root}" in error and "Traceback" not in error


def test_archives_within_one_second_have_names_of_their_own(run, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *arguments: "20260101_000000")
    for number in range(3):
        assert run("test") == 0
        Path("results/tiny/mine").write_text(str(number))
    names = ("tiny_archived_20260101_000000", "tiny_archived_20260101_000000_2", "tiny")
    assert [Path("results", name, "mine").read_text() for name in names] == ["0", "1", "2"]


def options(command, **path):
    root = Path(ROOTS[command], "tiny").absolute()
    key = {"train": "experiments_root", "test": "results_root"}[command]
    found = {"name": "tiny", "is_train": command == "train", "root_path": str(Path.cwd()), "rank": 0}
    found["logger"] = {"use_tb_logger": True}
    return found | {"path": {key: str(root), "visualization": str(root / "visualization")}}


@pytest.mark.parametrize("command", ROOTS)
@pytest.mark.parametrize("file", ["tiny.yml", "run.log", "visualization"])
def test_a_run_that_cannot_begin_leaves_all_as_it_was(tiny, monkeypatch, capsys, command, file):
    """On a disk that is full from some file on."""
    opt = options(command)
    root = Path(ROOTS[command], "tiny")
    (root / "models").mkdir(parents=True)
    (root / "models/net_g_5.pth").write_text("older")
    Path("tb_logger/tiny").mkdir(parents=True)
    before, real, mkdir = tree(), builtins.open, Path.mkdir

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path, mode="r", *arguments, **keywords):
        return (
            full() if "w" in mode and f".{file}." in str(path) else real(path, mode, *arguments, **keywords)
        )

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(Path, "mkdir", lambda p, *a, **k: full() if p.name == file else mkdir(p, *a, **k))
    option_file = OptionFile("tiny.yml", b"name: x") if command == "train" or file == "tiny.yml" else None
    with pytest.raises(OSError):
        make_folders(opt, root.absolute() / "run.log", option_file, fresh=True)
    assert tree() == before and (root / "models/net_g_5.pth").read_text() == "older"
    assert "Rename" not in capsys.readouterr().out


def test_a_run_that_cannot_begin_leaves_no_folder(run, monkeypatch, capsys):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "experiments/tiny/tiny.yml")

    monkeypatch.setattr(folders, "written_whole", full)
    before = tree()
    assert run("train") == 2 and tree() == before
    assert "experiments/tiny/tiny.yml: No space left on device" in capsys.readouterr().err


def test_half_written_files_are_not_archived(run):
    assert run("test") == 0
    left, mine = (Path("results/tiny/visualization/val", name) for name in (".0.png.77.part", ".mine.part"))
    for file in (left, mine):
        file.write_bytes(b"half")
    assert run("test") == 0
    assert not list(Path("results").rglob(left.name)) and len(list(Path("results").rglob(mine.name))) == 1


@pytest.mark.parametrize(
    "word", ["--x", "a\udcff.yml", "--force_yml=train={\nlr: 1}", "\x1b[2J", "\x85\ufeff"]
)
def test_the_copy_of_the_option_file_says_how_the_run_began(tiny, monkeypatch, word):
    monkeypatch.setattr("sys.argv", ["basicsr", "train", word])
    option_file = OptionFile("tiny.yml", Path("tiny.yml").read_bytes())
    make_folders(options("train"), Path("experiments/tiny/run.log").absolute(), option_file, fresh=True)
    copy = Path("experiments/tiny/tiny.yml")
    assert read_options(str(copy)) == read_options("tiny.yml")
    head, rest = copy.read_text().split("\n\n", 1)
    assert head.startswith("# GENERATE TIME: ") and all(line.startswith("#") for line in head.splitlines())
    assert rest == Path("tiny.yml").read_text()


def test_a_new_run_with_the_option_file_of_the_run_it_archives(run):
    assert run("train") == 0
    copy = "experiments/tiny/tiny.yml"
    assert main(["train", "-opt", copy, "--force_yml", *QUICK]) == 0
    assert Path(copy).is_file()


def test_a_run_that_saves_between_the_search_and_the_lock_is_noticed(run, monkeypatch, capsys):
    from ir_plugins.training import pipeline

    find = pipeline.find_state

    def found(opt):
        state = find(opt)
        Path(opt["path"]["training_states"]).mkdir(parents=True)
        Path(opt["path"]["training_states"], "5.state").write_bytes(b"of the other run")
        return state

    monkeypatch.setattr(pipeline, "find_state", found)
    assert run("train") == 2
    assert "experiments/tiny was written by another run just now; start again" in capsys.readouterr().err


def test_the_copy_is_of_the_options_that_the_run_follows(run, monkeypatch):
    """The user edits the option file for the next run while this one checks its pictures."""
    before, check_dataset = Path("tiny.yml").read_text(), preflight.check_dataset

    def edited(*arguments):
        Path("tiny.yml").write_text("name: next")
        return check_dataset(*arguments)

    monkeypatch.setattr(preflight, "check_dataset", edited)
    assert run("train") == 0
    assert Path("experiments/tiny/tiny.yml").read_text().endswith(f"\n\n{before}")
