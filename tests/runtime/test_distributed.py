"""Several ranks do what one process does, and come to one end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import ranks
import torch
import yaml
from torch import distributed as dist
from torch import nn

from ir_plugins.cli import main
from ir_plugins.models import saving
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.runtime import distributed
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone
from ir_plugins.training.preflight import prepare

from basicsr.utils.registry import ARCH_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger")

ROOT = Path(distributed.__file__).parents[2]
LARGER = "datasets:train:dataset_enlarge_ratio=4"  # an epoch has 20 pictures
QUIET = "logger:use_tb_logger=false"


def checkpoint(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/models/net_g_{iteration}.pth", weights_only=True)


def state(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/training_states/{iteration}.state", weights_only=True)


def assert_same_bits(a, b):
    if isinstance(a, dict):
        assert set(a) == set(b)
    if isinstance(a, dict | list | tuple):
        assert len(a) == len(b)
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_same_bits(a[key], b[key])
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_same_run(a, b, iteration=4):
    for at in (iteration, "latest"):
        assert_same_bits(checkpoint(at, a), checkpoint(at, b))
    assert_same_bits(state(iteration, a), state(iteration, b))


def pictures(folder):
    return {str(file.relative_to(folder)): cv2.imread(str(file)) for file in Path(folder).rglob("*.png")}


def assert_same_pictures(a, b):
    assert set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def tree():
    return sorted(str(path) for path in Path().rglob("*") if not path.name.startswith("rank"))


def told(count=2):
    """What people are told, by all ranks together."""
    lines = [line for rank in range(count) for line in ranks.written(rank).splitlines()]
    return [line for line in lines if line.startswith("basicsr ")]


# -- the same as one process ---------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [None, 2])
def test_two_ranks_learn_as_one_process_with_twice_the_batch(tiny, accumulate):
    more = [LARGER, QUIET, "train:total_iter=6", "logger:save_checkpoint_freq=6", "val:val_freq=6"]
    more += [f"train:accumulate={accumulate}"] if accumulate else []
    more.append("network_g:drop_path_rate=0")  # each rank drops paths of its own
    ranks.train("name=two", "datasets:train:batch_size_per_gpu=1", *more)
    ranks.train("name=one", "datasets:train:batch_size_per_gpu=2", *more, ranks=1)
    two, one = state(6, "two"), state(6, "one")
    assert two["place"] == one["place"] and len(one["history"]["losses"]) == 6
    for a, b in zip(two["history"]["losses"], one["history"]["losses"], strict=True):
        assert a == pytest.approx(b, abs=1e-5, rel=0)
    for key in ("params", "params_ema"):
        a, b = checkpoint(6, "two")[key], checkpoint(6, "one")[key]
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=0)


def test_validation_gives_every_rank_the_digits_of_one_process(tiny):
    """Three pictures: on two ranks unevenly, on four not one for each."""
    # the training state is saved before the validation of its iteration, so the second one holds the first's
    untouched = ["train:optim_g:lr=0", "train:ema_decay=0", "train:total_iter=2", "val:val_freq=1", LARGER]
    for count in (1, 2, 4):
        ranks.train(f"name=on_{count}", *untouched, QUIET, ranks=count)
    expected = state(2, "on_1")["history"]["metrics"]
    assert len(expected) == 1 and expected[0]["psnr"] > 5
    shown = pictures("experiments/on_1/visualization")
    assert sorted(shown) == [f"{i}/{i}_{n}.png" for i in range(3) for n in (1, 2)]
    for count in (2, 4):
        assert state(2, f"on_{count}")["history"]["metrics"] == expected
        assert_same_pictures(pictures(f"experiments/on_{count}/visualization"), shown)


class Normed(nn.Module):
    """A net whose statistics differ from rank to rank."""

    def __init__(self, *, dim: int = 5, upscale: int = 2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.Conv2d(dim, 3 * upscale**2, 1)
        )
        self.upscale = upscale

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.body(x), self.upscale)


@pytest.fixture
def normed():
    ARCH_REGISTRY._do_register("Normed", Normed)
    yield ["network_g={type: Normed}", "train:ema_decay=0", LARGER, QUIET]
    del ARCH_REGISTRY._obj_map["Normed"]


def test_a_net_with_buffers_and_no_average_is_validated_as_it_is_saved(tiny, normed):
    """BasicSR's validation ends in a deadlock there."""
    ranks.train(*normed)
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_4.pth"
    ranks.train(weights, "network_g={type: Normed}", command="test", ranks=1)
    shown = pictures("experiments/tiny/visualization")
    again = {f"{i}/{i}_4.png": cv2.imread(f"results/tiny/visualization/val/{i}_tiny.png") for i in range(3)}
    assert_same_pictures({name: shown[name] for name in again}, again)


def test_test_on_two_ranks(tiny):
    ranks.train("train:total_iter=1", QUIET, ranks=1)
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_latest.pth"
    for name, count in (("one", 1), ("two", 2), ("two", 2)):  # the second moves the first away
        ranks.train(weights, f"name={name}", "val:suffix=x", command="test", ranks=count)
    one, two = (pictures(f"results/{name}/visualization") for name in ("one", "two"))
    assert_same_pictures(one, two)
    assert len(one) == 3 and len(list(Path("results").glob("two_archived*/visualization/val/*.png"))) == 3
    logs = [next(Path("results", name).glob("*.log")).read_text() for name in ("one", "two")]
    lines = [[line for line in log.splitlines() if "# psnr" in line] for log in logs]
    assert lines[0] == lines[1] and len(lines[0]) == 1
    assert "INFO" not in ranks.written(1)


def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_by_all(tiny, monkeypatch):
    losses, seen = RestorationModel._losses, []

    def spoiled(self, *args):
        seen.append(args)
        values = losses(self, *args)
        return (
            {k: v * float("nan") for k, v in values.items()}
            if self.opt["rank"] and len(seen) == 2
            else values
        )

    step = RestorationModel.optimize_parameters

    def compared(self, iteration):
        step(self, iteration)
        weights = torch.cat([p.detach().flatten() for p in self.net_g.parameters()])
        assert all(torch.equal(weights, other) for other in distributed.gathered(weights))
        assert weights.isfinite().all()

    monkeypatch.setattr(RestorationModel, "_losses", spoiled)
    monkeypatch.setattr(RestorationModel, "optimize_parameters", compared)
    ranks.train(LARGER, QUIET)
    rows = state(4)["history"]["losses"]
    assert [row.get("skipped") for row in rows] == [None, 1, 1, 1]
    assert np.isnan(rows[1]["l_pix"]) and np.isfinite(rows[2]["l_pix"]) and state(4)["skipped"] == [1, 0]


# -- resuming ------------------------------------------------------------------------------------------------


def interrupted_at(iteration, rank=1):
    """A run whose rank is told to end in the middle of an iteration."""
    step = RestorationModel.optimize_parameters

    def told_to_end(self, current_iter):
        if current_iter == iteration and self.opt["rank"] == rank:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, current_iter)

    RestorationModel.optimize_parameters = told_to_end


def test_a_signal_to_one_rank_ends_all_at_one_iteration(tiny, monkeypatch):
    monkeypatch.setattr(RestorationModel, "optimize_parameters", RestorationModel.optimize_parameters)
    more = [LARGER, QUIET, "network_g:drop_path_rate=0.5"]
    ranks.train(*more, "name=undisturbed")

    def task():
        interrupted_at(3)
        return ranks.task(*more)()

    assert ranks.run(2, task) == [143, 143]
    assert told() == [
        "basicsr train: stopped at iteration 3 by SIGTERM, and saved; --auto_resume goes on from there"
    ]
    assert state(3)["iter"] == 3
    assert ranks.run(2, ranks.task(*more, auto_resume=True)) == [0, 0]
    assert_same_run("tiny", "undisturbed")


def test_a_signal_in_a_validation_does_not_wait_for_its_end(tiny, monkeypatch):
    ranks.train(LARGER, QUIET, "name=undisturbed")
    show = RestorationModel.as_picture

    def told_to_end(self, output):
        if self.opt["rank"] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return show(self, output)

    monkeypatch.setattr(RestorationModel, "as_picture", told_to_end)
    assert ranks.run(2, ranks.task(LARGER, QUIET)) == [143, 143]
    assert len(pictures("experiments/tiny")) == 2  # each rank's first; rank 0 had another
    assert [line[:44] for line in told()] == ["basicsr train: stopped at iteration 2 by SIG"]
    monkeypatch.undo()
    os.chdir(tiny.parent)
    assert ranks.run(2, ranks.task(LARGER, QUIET, auto_resume=True)) == [0, 0]
    assert_same_run("tiny", "undisturbed")


def test_another_number_of_ranks_goes_on(tiny):
    ranks.train("train:total_iter=2", LARGER, QUIET)
    assert ranks.run(1, ranks.task(LARGER, QUIET, launcher=False, auto_resume=True)) == [0]
    assert "is of 2 processes, this run has 1" in ranks.written(0)
    assert [row["iter"] for row in state(4)["history"]["losses"]] == [1, 2, 3, 4]
    assert ranks.run(3, ranks.task(LARGER, QUIET, "train:total_iter=6", auto_resume=True)) == [0, 0, 0]
    # 2 steps of 4 pictures, 2 of 2 and 1 of 6 leave 2 of the epoch's 20
    assert state(6)["place"] == [1, 6]


def test_what_torchrun_starts_anew_goes_on_unasked(tiny):
    def folder(name):
        return {"TORCHELASTIC_ERROR_FILE": f"/logs/{name}/attempt_0/0/error.json"}

    def archived():
        return len(list(Path("experiments").glob("tiny_archived*")))

    more = [LARGER, QUIET]
    ranks.train(*more, "train:total_iter=2", **folder("a"))
    ranks.train(*more, **folder("a"), TORCHELASTIC_RESTART_COUNT=1)
    assert "Resuming training from epoch: 0, iter: 2" in ranks.written(0) and archived() == 0
    # another torchrun's run is none of its business, even where its first start came to nothing
    ranks.train(*more, **folder("b"), TORCHELASTIC_RESTART_COUNT=1)
    assert "Resuming" not in ranks.written(0) and archived() == 1


def test_a_full_disk_on_the_rank_that_saves(tiny, monkeypatch):
    def full(content, path):
        if path.name == "2.state":  # not the last one, without which the run would fail
            raise OSError(28, "No space left on device")
        return save(content, path)

    save = saving.save_whole
    monkeypatch.setattr(saving, "save_whole", full)
    ranks.train(LARGER, QUIET)  # the ranks do not wait for each other
    assert "could not be saved: No space left on device" in ranks.written(0)


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override, message",
    [
        ("train:total_iter=none", "train:total_iter"),  # found before the ranks meet
        ("datasets:train:dataroot_gt=gone", "gone does not exist"),  # found by the first rank
        ("datasets:train:batch_size_per_gpu=3", "5 images are fewer than one step's 6"),  # by each
    ],
)
def test_a_mistake_is_told_once_and_nothing_is_written(tiny, override, message):
    before = tree()
    assert ranks.run(2, ranks.task(override)) in ([2, 2], [2, 1])
    assert message in told()[0] and len(told()) == 1
    assert tree() == before and "Traceback" not in ranks.written(0) + ranks.written(1)


def test_each_rank_of_a_missing_file(tiny):
    assert ranks.run(2, lambda: main(["train", "-opt", "no.yml", "--launcher", "pytorch"])) == [2, 2]
    assert len(told()) == 1 and "no.yml: no such option file" in told()[0]


def test_where_the_first_rank_fails_alone_nobody_waits(tiny):
    Path("experiments").mkdir()
    begin = time.monotonic()
    with alone(Path("experiments/.tiny.lock"), ""):
        assert ranks.run(2, ranks.task(LARGER)) == [2, 1]
    assert time.monotonic() - begin < 60 and len(told()) == 1 and "another run" in told()[0]
    assert "Traceback" not in ranks.written(1)


def test_where_another_rank_fails_alone_it_says_so(tiny, monkeypatch):
    def fails(self, data):
        if self.opt["rank"] == 1:
            raise UserError("something is wrong here")
        feed(self, data)

    feed = RestorationModel.feed_data
    monkeypatch.setattr(RestorationModel, "feed_data", fails)
    assert ranks.run(2, ranks.task(LARGER, QUIET), GROUP_RANK="1") == [1, 2]
    assert len(told()) == 1 and told()[0].startswith("basicsr train: error: something is wrong here (on ")
    assert told()[0].endswith(", machine 1)")


def test_launcher_without_torchrun(tiny, capsys, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    before = tree()
    assert main(["train", "-opt", "tiny.yml", "--launcher", "pytorch"]) == 2
    error = capsys.readouterr().err
    assert "RANK, LOCAL_RANK, WORLD_SIZE" in error and "start with torchrun" in error
    assert error.count("\n") == 1 and tree() == before


# -- distributed.py ------------------------------------------------------------------------------------------


def test_alone_every_function_answers_for_one_process():
    assert distributed.gathered("a") == ["a"] and distributed.from_first_rank("a") == "a"
    assert distributed.on_any_rank(True) is True and distributed.on_any_rank(False) is False
    assert distributed.mean_over_ranks(torch.tensor([3.0])) == 3
    assert distributed.is_first_here()
    tensor = torch.tensor([3.0])
    distributed.as_on_first_rank([tensor])
    distributed.wait_for_all()
    distributed.stop()
    assert tensor == 3


def test_what_ranks_tell_each_other(workplace):
    def task():
        distributed.start("pytorch", on_gpu=False)
        rank = dist.get_rank()
        assert distributed.gathered({"rank": rank}) == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert distributed.from_first_rank(rank) == 0
        assert distributed.on_any_rank(rank == 1) is True and distributed.on_any_rank(False) is False
        mean = distributed.mean_over_ranks(torch.tensor([float(rank), 10.0 * rank]))
        assert mean.tolist() == [1, 10]
        tensor = torch.full((2, 3), float(rank))
        distributed.as_on_first_rank([tensor])
        assert not tensor.any()
        assert distributed.is_first_here() == (rank == 0)
        distributed.stop()
        assert not dist.is_initialized()

    assert ranks.run(3, task) == [0, 0, 0]


def test_ranks_find_each_other_where_a_start_before_left_its_traces(workplace):
    """torchrun's store outlives the ranks; their addresses of before must not be taken for those of now."""

    def task():
        if os.environ["RANK"] == "1":
            time.sleep(1)
        distributed.start("pytorch", on_gpu=False)
        assert sum(distributed.gathered(1)) == 2

    processes = ranks.start(2, task)
    assert ranks.finish(processes) == [0, 0]
    again = {"MASTER_PORT": str(processes[0].store.port)}
    assert ranks.run(2, task, **again) == [0, 0]


def test_all_ranks_draw_one_seed(tiny):
    options = yaml.safe_load(tiny.read_text())
    del options["manual_seed"]
    tiny.write_text(yaml.safe_dump(options))
    arguments = Namespace(
        opt="tiny.yml", force_yml=[LARGER], plugin=[], launcher="pytorch", auto_resume=False, debug=False
    )

    def task():
        seeds = distributed.gathered(prepare(arguments, is_train=True)["manual_seed"])
        drawn = distributed.gathered(torch.rand(1).item())
        assert seeds[0] == seeds[1] and drawn[0] != drawn[1]

    assert ranks.run(2, task) == [0, 0], ranks.written(1)


@pytest.fixture
def slurm(workplace, monkeypatch):
    """The environment of task 3 of 4 on two machines, and an scontrol that knows them."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    given = {"NODELIST": "gpu[07-08]", "PROCID": "3", "LOCALID": "1", "NTASKS": "4"}
    for name, value in given.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    Path("bin").mkdir()
    program = Path("bin/scontrol")
    program.write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[07-08]" ] && printf "gpu07\\ngpu08\\n"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{workplace / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.mark.parametrize("port, expected", [(None, "29500"), (12345, "12345")])
def test_slurm_is_as_torchrun(slurm, port, expected):
    distributed._be_as_torchrun(port)
    found = {
        name: os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    }
    assert list(found.values()) == ["3", "1", "4", "gpu07", expected]


def test_slurm_takes_what_the_environment_names(slurm, monkeypatch):
    slurm.unlink()
    monkeypatch.setenv("MASTER_ADDR", "login")
    monkeypatch.setenv("MASTER_PORT", "7")
    distributed._be_as_torchrun(12345)
    assert os.environ["MASTER_ADDR"] == "login" and os.environ["MASTER_PORT"] == "7"


def test_slurm_that_does_not_answer(slurm, monkeypatch):
    slurm.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match=r"scontrol show hostnames .*set MASTER_ADDR"):
        distributed._be_as_torchrun(None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="scontrol"):
        distributed._be_as_torchrun(None)
    monkeypatch.delenv("SLURM_LOCALID")
    with pytest.raises(UserError, match=r"SLURM_LOCALID.*start with srun"):
        distributed._be_as_torchrun(None)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed._own_gpu("pytorch") == 1
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="process 3 of this machine, which has 2 GPUs"):
        distributed._own_gpu("pytorch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert distributed._own_gpu("slurm") == 0  # srun shows each task its own GPU alone


# -- torchrun itself -----------------------------------------------------------------------------------------


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
