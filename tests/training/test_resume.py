"""A run that is stopped and resumed ends with the same bits as one that is not."""

import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from long_runs import LAST, RUNS, TOTAL, differences, finish, same, short, states
from tqdm import tqdm

from ir_plugins.cli import main
from ir_plugins.models import RestorationModel

pytestmark = pytest.mark.usefixtures("fresh_logger")


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
    # forks share the lock of a progress bar that their parent has made; one that is killed may hold it
    tqdm.set_lock(threading.RLock())
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    os._exit(main(arguments))


def result(name):
    """All that a run ends with: weights, their average, the best ones, and the training state."""
    root = Path("experiments", name)
    files = [root / "training_states" / LAST, *sorted((root / "models").glob("*.pth"))]
    return {file.name: torch.load(file, weights_only=True) for file in files}


@pytest.mark.parametrize("most", [3, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", RUNS)
def test_killed_again_and_again_it_ends_with_the_same_bits(option_file, kind, most):
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
    while kills < most:
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


def test_a_seed_that_was_drawn_holds_for_the_whole_run(option_file):
    options = yaml.safe_load(Path("o.yml").read_text())
    del options["manual_seed"]
    Path("o.yml").write_text(yaml.safe_dump(options))
    assert short("drawn", "train:total_iter=10") == 0
    seed = torch.load("experiments/drawn/training_states/10.state", weights_only=True)["seed"]
    assert short("whole", f"manual_seed={seed}") == 0
    assert short("drawn") == 0 and same("whole", "drawn")


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
