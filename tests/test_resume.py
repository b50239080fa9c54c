"""Whatever happens to a run, it ends with the bits of one to which nothing has happened."""

import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.cli import main

TOTAL = 90
LAST = f"{TOTAL}.state"
pytestmark = pytest.mark.usefixtures("fresh_logger")

# of everything that draws random numbers or keeps a state, some
RUNS = {
    "fp32": ["train:mixup={beta: 1.2, identity: true}", "network_g:drop_path_rate=0.5"],
    "bf16": ["train:precision=bf16", "network_g:train_top_k=[3,7]", "train:grad_clip=0.01"],
    "fp16": ["train:precision=fp16", "datasets:train:num_worker_per_gpu=0", "train:ema_decay=0"],
    "accumulation and stages": [
        "train:accumulate=2",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [41, 47]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
    "two ranks": [
        "train:accumulate=2",
        "train:precision=bf16",
        "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1], iters: [37, 53]}",
        "datasets:train:dataset_enlarge_ratio=5",
    ],
}


@pytest.fixture
def option_file(tiny):
    options = tiny_options()
    options["train"] |= {"total_iter": TOTAL, "scheduler": {"type": "MultiStepLR", "milestones": [17, 59]}}
    options["val"] |= {"val_freq": 10, "save_img": False}
    options["logger"] |= {"save_checkpoint_freq": 7, "keep_last": 3, "use_tb_logger": False}
    Path("o.yml").write_text(yaml.safe_dump(options))


def processes(name, overrides, ranks=1):
    """A run in processes of its own, which a kill does not share with the tests; they are forked, so cheap."""
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
        len(expected[LAST]["history"]["metrics"]) == 9 and len(expected[LAST]["history"]["losses"]) == TOTAL
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
