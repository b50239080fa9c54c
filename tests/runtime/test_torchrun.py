"""torchrun itself: what it starts, starts again after a kill, and ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
from rank_runs import LARGER, QUIET, assert_same_run

from ir_plugins.runtime import distributed

pytestmark = pytest.mark.usefixtures("fresh_logger")

pytestmark = pytest.mark.usefixtures("fresh_logger")

ROOT = Path(distributed.__file__).parents[2]


def torchrun(
    *arguments,
    program=("-m", "ir_plugins"),
    more=(),
    processes=2,
    endpoint="localhost:0",  # a free port
    output="torchrun.txt",
    **names,
):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), *more]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", *program, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | names
    with open(output, "w") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def ended(process, seconds=240):
    try:
        return process.wait(seconds)
    finally:
        process.terminate()  # it ends its ranks


def test_torchrun(tiny):
    arguments = ["train", "-opt", "tiny.yml", "--launcher", "pytorch", "--force_yml", LARGER, QUIET]
    assert ended(torchrun(*arguments)) == 0, Path("torchrun.txt").read_text()
    ranks.train(LARGER, QUIET, "name=forked")
    assert_same_run("tiny", "forked")


DISTURBED = """
import os, signal, sys
from pathlib import Path
from ir_plugins.cli import main
from ir_plugins.models.restoration_model import RestorationModel

step = RestorationModel.optimize_parameters

def disturbed(self, iteration):
    step(self, iteration)
    if iteration == 5 and os.environ["RANK"] == os.environ["VICTIM"] and not Path("disturbed").exists():
        Path("disturbed").touch()
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))

RestorationModel.optimize_parameters = disturbed
sys.exit(main(sys.argv[1:]))
"""

LONGER = [LARGER, QUIET, "train:total_iter=8", "network_g:drop_path_rate=0.5"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_torchrun_starts_killed_ranks_anew_and_they_go_on(tiny, victim):
    Path("disturbed.py").write_text(DISTURBED)
    arguments = ["train", "-opt", "tiny.yml", "--launcher", "pytorch", "--force_yml", *LONGER]
    names = {"VICTIM": str(victim), "SIGNAL": str(signal.SIGKILL.value)}
    process = torchrun(*arguments, program=["disturbed.py"], more=["--max-restarts", "2"], **names)
    assert ended(process) == 0, Path("torchrun.txt").read_text()
    assert Path("disturbed").exists()
    assert "Resuming training from epoch: 0, iter: 4" in Path("torchrun.txt").read_text()
    ranks.train("name=undisturbed", *LONGER)
    assert_same_run("tiny", "undisturbed", 8)


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_at_one_iteration(tiny):
    Path("disturbed.py").write_text(DISTURBED.replace("os.getpid()", "os.getppid()"))
    arguments = ["train", "-opt", "tiny.yml", "--launcher", "pytorch", "--force_yml", *LONGER]
    names = {"VICTIM": "1", "SIGNAL": str(signal.SIGTERM.value)}
    assert ended(torchrun(*arguments, "train:total_iter=100000", program=["disturbed.py"], **names)) != 0
    output = Path("torchrun.txt").read_text()
    assert output.count("basicsr train: stopped at iteration") == 1 and "and saved" in output
    last = max(int(file.stem) for file in Path("experiments/tiny/training_states").glob("*.state"))
    assert last >= 5 and f"stopped at iteration {last} by SIGTERM" in output
    end = f"train:total_iter={last + 3}"
    assert ranks.run(2, ranks.task(*LONGER, end, auto_resume=True)) == [0, 0]
    ranks.train("name=undisturbed", *LONGER, end)
    assert_same_run("tiny", "undisturbed", last + 3)


@pytest.mark.slow
def test_a_machine_dies_and_comes_back(tiny):
    """Two agents, each with one rank; the second one and its rank end as by a power cut."""
    power_cut = "os.kill(os.getppid(), signal.SIGKILL), os.kill(os.getpid(), signal.SIGKILL)"
    Path("disturbed.py").write_text(
        DISTURBED.replace('os.kill(os.getpid(), int(os.environ["SIGNAL"]))', power_cut).replace(
            'os.environ["RANK"] == os.environ["VICTIM"]', '"MORTAL" in os.environ'
        )
    )
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
    arguments = ["train", "-opt", "tiny.yml", "--launcher", "pytorch", "--force_yml", *LONGER]

    def agent(number, **names):
        more = ["--nnodes", "2", "--rdzv-id", "7", "--rdzv-conf", f"is_host={int(number == 0)}"]
        return torchrun(
            *arguments,
            program=["disturbed.py"],
            more=[*more, "--max-restarts", "3"],
            processes=1,
            endpoint=endpoint,
            output=f"agent{number}.txt",
            TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1",
            **names,
        )

    agents = [agent(0), agent(1, MORTAL="")]
    try:
        assert agents[1].wait(120) == -signal.SIGKILL and Path("disturbed").exists()
        agents[1] = agent(2)
        assert [one.wait(200) for one in agents] == [0, 0], Path("agent0.txt").read_text()
    finally:
        for one in agents:
            one.terminate()
    output = Path("agent0.txt").read_text() + Path("agent2.txt").read_text()
    assert "Resuming training from epoch: 0, iter: 4" in output
    ranks.train("name=undisturbed", *LONGER)
    assert_same_run("tiny", "undisturbed", 8)
