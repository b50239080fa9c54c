"""Several processes that train one network: how they start, and what they tell each other.

Every function also works in a process of its own.
"""

import datetime
import os
import subprocess
from typing import Any

import torch
import torch.distributed as dist

from .errors import UserError

# a rank may be busy that long (saving, reading a picture from a cold disk) before the others give up
TIMEOUT = datetime.timedelta(minutes=30)


def start(launcher: str, port: int | None = None) -> None:
    """Join the other ranks, as torchrun (`pytorch`) or srun (`slurm`) has started them.

    NCCL between GPUs, gloo between CPUs.  BasicSR's own start needs a GPU, and takes the rank among all
    machines for the number of the GPU.  port: of rank 0's machine, for slurm, where MASTER_PORT does not name
    it.  Raises UserError where the environment is not a launcher's.
    """
    if launcher == "slurm":
        _be_as_torchrun(port)
    if missing := [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name not in os.environ]:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start with "
            "torchrun --nproc_per_node N -m ir_plugins ... --launcher pytorch"
        )
    if torch.cuda.is_available():
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise UserError(
                f"--launcher {launcher}: process {local + 1} of this machine, which has {there} GPUs"
            )
        torch.cuda.set_device(local)
    # both: tensors on GPUs go by NCCL, what is said about the run by gloo, which does not wait for a GPU
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)


def stop() -> None:
    """Leave the other ranks."""
    if dist.is_initialized():
        dist.destroy_process_group()


def gathered(value: Any) -> list[Any]:
    """Every rank's value, in the order of ranks."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def on_any_rank(flag: bool) -> bool:
    """Whether it is true on one of the ranks; each of them learns so."""
    if not dist.is_initialized():
        return flag
    found = torch.tensor(int(flag))
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all ranks, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def wait_for_all() -> None:
    """Until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def has_restarted() -> bool:
    """Whether torchrun's `--max-restarts` started this process anew."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def _be_as_torchrun(port: int | None) -> None:
    """Set the variables that torchrun sets, from those that srun sets."""
    try:
        nodes = os.environ["SLURM_NODELIST"]
        ranks = {
            "RANK": os.environ["SLURM_PROCID"],
            "LOCAL_RANK": os.environ["SLURM_LOCALID"],
            "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        }
    except KeyError as error:
        raise UserError(f"--launcher slurm: {error} is not set; start with srun") from error
    names = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
    )
    os.environ.update(ranks)
    os.environ.setdefault("MASTER_ADDR", names.stdout.split()[0])
    os.environ.setdefault("MASTER_PORT", str(port or 29500))
