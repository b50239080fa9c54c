"""Whatever happens to a run, it ends with the bits of one to which nothing has happened."""

import errno
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import time
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.models import RestorationModel
from ir_plugins.runtime import storage

from basicsr.utils.logger import initialized_logger

TOTAL = 60
LAST = f"{TOTAL}.state"
pytestmark = pytest.mark.usefixtures("fresh_logger")

# of everything that draws random numbers or keeps a state, some
RUNS = {
    "fp32": ["train:mixup={beta: 1.2, identity: true}", "network_g:drop_path_rate=0.5"],
    "bf16": ["train:precision=bf16", "network_g:train_top_k=[3,7]", "train:grad_clip=0.01"],
    "fp16": ["train:precision=fp16", "datasets:train:num_worker_per_gpu=0", "train:ema_decay=0"],
    "accumulation and stages": [
        "train:accumulate=2",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [23, 37]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
    "two ranks": [
        "train:accumulate=2",
        "train:precision=bf16",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [21, 39]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
}


@pytest.fixture
def option_file(tiny):
    options = tiny_options()
    options["train"] |= {"total_iter": TOTAL, "scheduler": {"type": "MultiStepLR", "milestones": [17, 41]}}
    options["val"] |= {"val_freq": 10, "save_img": False}
    options["val"]["metrics"]["psnr"]["better"] = "lower"  # the first is best: a resumed run must know
    options["logger"] |= {"save_checkpoint_freq": 7, "keep_last": 3, "use_tb_logger": False}
    Path("o.yml").write_text(yaml.safe_dump(options))


def processes(name, overrides, ranks=1):
    """A run in processes of its own, for a kill to end; they are forked, which is cheap."""
    arguments = ["train", "-opt", "o.yml", "--auto_resume", "--force_yml", f"name={name}", *overrides]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    fork, started = multiprocessing.get_context("fork"), []
    for rank in range(ranks):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
        extra = ["--launcher", "pytorch"] if ranks > 1 else []
        started.append(fork.Process(target=_run, args=([*arguments, *extra], names, rank)))
        started[-1].start()
    return started


def _run(arguments, names, rank):
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    os._exit(main(arguments))


def finish(started, seconds=120):
    for process in started:
        process.join(seconds)
    assert [process.exitcode for process in started] == [0] * len(started)


def result(name):
    """All that a run ends with: weights, their average, the best ones, and the training state."""
    root = Path("experiments", name)
    files = [root / "training_states" / LAST, *sorted((root / "models").glob("*.pth"))]
    return {file.name: torch.load(file, weights_only=True) for file in files}


def differences(a, b, where=""):
    """Where two results are not the same to the bit."""
    if type(a) is not type(b):
        return [where]
    if isinstance(a, dict):
        keys = [*a, *(key for key in b if key not in a)]
        both = [key for key in keys if key in a and key in b]
        found = [d for key in both for d in differences(a[key], b[key], f"{where}/{key}")]
        return found + [f"{where}/{key}" for key in keys if key not in both]
    if isinstance(a, list | tuple):
        found = [
            d for i, (x, y) in enumerate(zip(a, b, strict=False)) for d in differences(x, y, f"{where}/{i}")
        ]
        return found + ([where] if len(a) != len(b) else [])
    return [] if (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b) else [where]


@pytest.mark.parametrize("kind", RUNS)
def test_killed_ten_times_it_ends_with_the_same_bits(option_file, kind):
    ranks = 2 if kind == "two ranks" else 1
    begin = time.monotonic()
    finish(processes("undisturbed", RUNS[kind], ranks))
    duration = time.monotonic() - begin
    expected = result("undisturbed")
    assert set(expected) >= {"net_g_best.pth", "net_g_latest.pth", f"net_g_{TOTAL}.pth", LAST}
    assert (
        len(expected[LAST]["history"]["metrics"]) == TOTAL / 10
        and len(expected[LAST]["history"]["losses"]) == TOTAL
    )
    chance, kills, name = random.Random(kind), 0, "killed_0"
    while kills < 10:
        started = processes(name, RUNS[kind], ranks)
        time.sleep(chance.uniform(0.05, 0.4) * duration)
        for process in started:
            os.kill(process.pid, signal.SIGKILL)
        for process in started:
            process.join()
        kills += any(process.exitcode for process in started)
        if Path("experiments", name, "models/net_g_latest.pth").exists():  # it was faster: another one
            finish(processes(name, RUNS[kind], ranks))
            assert not differences(expected, result(name))
            name = f"killed_{kills}"
    finish(processes(name, RUNS[kind], ranks))
    assert not differences(expected, result(name))


SHORT = ["train:total_iter=20", "logger:save_checkpoint_freq=5", "logger:keep_last=3"]


def short(name, *flags, resume=True):
    """A run of 20 iterations in this process; four checkpoints, of which the last three stay."""
    initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()
    arguments = ["train", "-opt", "o.yml", "--force_yml", f"name={name}", *SHORT, *RUNS["fp32"], *flags]
    return main([*arguments, *(["--auto_resume"] if resume else [])])


def states(name):
    return sorted(int(file.stem) for file in Path("experiments", name, "training_states").glob("*.state"))


def same(a, b, iteration=20):
    files = [Path("experiments", name, f"training_states/{iteration}.state") for name in (a, b)]
    files += [Path("experiments", name, f"models/net_g_{iteration}.pth") for name in (a, b)]
    contents = [torch.load(file, weights_only=True) for file in files]
    return not differences(contents[0], contents[1]) and not differences(contents[2], contents[3])


TRAINED: dict[tuple[str, ...], Path] = {}  # by their flags


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["step", "validation", "data", "save"])
def test_a_signal_saves_and_ends_the_run(undisturbed, monkeypatch, capsys, number, moment):
    undisturbed("whole")
    hook = {
        "step": "optimize_parameters",
        "validation": "test",
        "data": "feed_data",
        "save": "save_training_state",
    }[moment]
    original, calls = getattr(RestorationModel, hook), []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == {"step": 13, "data": 15}.get(moment, 2):
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RestorationModel, hook, interrupted)
        assert short("stopped") == 128 + number
    at = {"step": 13, "data": 12, "validation": 10, "save": 10}[moment]  # three pictures go through feed_data
    name = "SIGTERM" if number == signal.SIGTERM else "SIGINT"
    expected = (
        f"basicsr train: stopped at iteration {at} by {name}, and saved; --auto_resume continues from there"
    )
    error = capsys.readouterr().err
    assert expected in error and "Traceback" not in error
    log = next(Path("experiments/stopped").glob("train_*.log")).read_text()
    assert f"Stopped at iteration {at} by {name}, and saved" in log
    assert states("stopped")[-1] == at
    assert short("stopped") == 0 and same("whole", "stopped")


def test_a_run_that_moved_goes_on(undisturbed):
    undisturbed("whole")
    undisturbed("moved", "train:total_iter=10")
    here = Path.cwd()
    there = here.with_name(f"{here.name} elsewhere")
    there.mkdir()
    for name in ("data", "o.yml", "experiments"):
        (here / name).rename(there / name)
    os.chdir(there)
    assert short("moved") == 0 and same("whole", "moved")


def test_a_longer_run_is_the_same_up_to_there(undisturbed):
    undisturbed("whole")
    for total in (3, 10, 11, 20):
        assert short("piecewise", f"train:total_iter={total}") == 0
        assert states("piecewise")[-1] == total
    assert same("whole", "piecewise")


def test_pictures_listed_in_another_order_make_no_difference(undisturbed, monkeypatch):
    undisturbed("whole")
    from basicsr.data import data_util

    scandir = data_util.scandir
    monkeypatch.setattr(data_util, "scandir", lambda *args, **kw: reversed(list(scandir(*args, **kw))))
    assert short("reversed") == 0 and same("whole", "reversed")


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


def test_a_seed_that_was_drawn_holds_for_the_whole_run(option_file):
    options = yaml.safe_load(Path("o.yml").read_text())
    del options["manual_seed"]
    Path("o.yml").write_text(yaml.safe_dump(options))
    assert short("drawn", "train:total_iter=10") == 0
    seed = torch.load("experiments/drawn/training_states/10.state", weights_only=True)["seed"]
    assert short("whole", f"manual_seed={seed}") == 0
    assert short("drawn") == 0 and same("whole", "drawn")


def test_a_network_of_another_shape_is_refused(option_file, capsys):
    """A fused step would write beyond its moments."""
    assert short("shape", "train:total_iter=5") == 0
    assert short("shape", "path:strict_load_g=false", "network_g:num_feat=7") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "5.state: does not fit train:optim_g or train:scheduler: its exp_avg is " in error


@pytest.mark.parametrize("kind", ["Adafactor", "SGD", "NAdam"])
def test_every_optimizer_goes_on(option_file, kind):
    optimizer = f"train:optim_g={{type: {kind}, lr: 1e-3}}"
    assert short("whole", optimizer) == 0
    assert short("again", optimizer, "train:total_iter=10") == 0
    assert short("again", optimizer) == 0 and same("whole", "again")


def test_who_goes_back_does_not_meet_the_abandoned_run_again(undisturbed, monkeypatch):
    undisturbed("back", "manual_seed=3")
    back = "path:resume_state=experiments/back/training_states/10.state"
    with monkeypatch.context() as patched:
        patched.setattr(RestorationModel, "optimize_parameters", _terminate_at(12))
        assert short("back", "manual_seed=3", back, resume=False) == 143
    assert states("back")[-1] == 12
    assert {file.name for file in Path("experiments/back/training_states").glob("*.old")} == {
        "20.state.old",
        "15.state.old",
    }
    assert short("back", "manual_seed=3") == 0


def _terminate_at(count):
    original = RestorationModel.optimize_parameters

    def step(self, current_iter):
        original(self, current_iter)
        if current_iter == count:
            os.kill(os.getpid(), signal.SIGTERM)

    return step


def test_half_written_files_of_a_killed_run_are_removed(undisturbed):
    undisturbed("parts", "train:total_iter=10")
    left = [Path("experiments/parts", folder, ".x.7.part") for folder in ("", "models", "training_states")]
    for file in left:
        file.write_bytes(b"half")
    assert short("parts") == 0 and not any(file.exists() for file in left)


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


def test_tensorboard_on_a_full_disk_ends_no_run(option_file, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    assert short("full", "logger:use_tb_logger=true") == 0
    log = next(Path("experiments/full").glob("train_*.log")).read_text()
    assert log.count("TensorBoard ends here: No space left on device") == 1


def test_a_worker_that_is_killed_is_told_in_one_line(undisturbed, monkeypatch, capsys):
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
    assert (
        "a data worker was killed, most likely because memory ran out"
        in capsys.readouterr().err.splitlines()[-1]
    )
    undisturbed("whole")
    assert short("killed") == 0 and same("whole", "killed")


def test_a_picture_that_is_gone_is_told_in_one_line(option_file, monkeypatch, capsys):
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
    assert error.startswith("basicsr train: error: ") and ".png" in error and "No such file" in error
