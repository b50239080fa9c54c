"""The functions by which ranks meet and talk, alone, in several processes and under slurm."""

import os
import stat
import time
from argparse import Namespace
from pathlib import Path

import pytest
import ranks
import torch
import yaml
from rank_runs import LARGER
from torch import distributed as dist

from ir_plugins.runtime import distributed
from ir_plugins.runtime.errors import UserError
from ir_plugins.training.preflight import prepare

pytestmark = pytest.mark.usefixtures("fresh_logger")

pytestmark = pytest.mark.usefixtures("fresh_logger")


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
