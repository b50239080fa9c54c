"""Several processes that train one network: how they start, what they exchange, how they end.

Every function also works in a process of its own.
"""

import datetime
import os
import re
import socket
import subprocess
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore, rendezvous  # pyright: ignore

from .errors import Stopped, UserError
from .interruption import deadly_signals

# how long the others wait for a busy rank (saving, reading a picture from a cold disk) before they give up
TIMEOUT = datetime.timedelta(minutes=30)
# torchrun's store is there before its ranks are: if it does not answer, torchrun is gone
STORE_ANSWERS = datetime.timedelta(minutes=2)

_store: Store | None = None  # where these ranks met


def start(launcher: str, port: int | None = None, *, on_gpu: bool) -> None:
    """Join the other ranks, as torchrun (`pytorch`) or srun (`slurm`) has started them.

    NCCL connects GPUs, gloo CPUs.  BasicSR's own start needs a GPU, and takes the rank among all machines for
    the number of the GPU.

    Args:
        launcher: pytorch or slurm.
        port: Port on rank 0's machine, for slurm; MASTER_PORT comes first.
        on_gpu: Each rank has a GPU.

    Raises:
        UserError: The environment is not a launcher's, or a GPU is missing.
    """
    if launcher == "slurm":
        _be_as_torchrun(port)
    needed = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if missing := [name for name in needed if name not in os.environ]:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start with "
            "torchrun --nproc_per_node N -m ir_plugins ... --launcher pytorch"
        )
    if on_gpu:
        torch.cuda.set_device(_own_gpu(launcher))
    # both: tensors on GPUs go by NCCL, messages about the run by gloo, which does not wait for a GPU
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    try:
        with deadly_signals():
            _meet(backend)
    except (RuntimeError, TimeoutError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = str(error).partition("\n")[0]
        text = f"--launcher {launcher}: the ranks did not meet at {place}: {reason}"
        raise UserError(f"{text}; another rank or its launcher has ended, and says why") from error


def _meet(backend: str) -> None:
    """Join the other ranks, or raise RuntimeError or TimeoutError."""
    global _store
    is_there = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store, rank, world_size = next(rendezvous("env://", timeout=STORE_ANSWERS if is_there else TIMEOUT))
    store.set_timeout(TIMEOUT)
    _store = _of_this_start(store, rank, world_size)
    dist.init_process_group(backend, store=_store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    wait_for_all()  # from now on the others notice a rank that fails


def stop() -> None:
    """Leave the other ranks."""
    global _store
    if dist.is_initialized():
        dist.destroy_process_group()
    _store = None


@contextmanager
def ending_together(arguments: Namespace) -> Iterator[None]:
    """Let several ranks report their end as one process does; it surrounds all work of a rank.

    Only the first rank that fails raises its error.  The others, whose errors mostly follow from that one,
    raise SystemExit.  After a signal, which reaches all ranks, only rank 0 raises Stopped.

    Args:
        arguments: The command line's `launcher`, and `debug`, with which each rank raises its own error.
    """
    try:
        yield
    except Stopped as stopped:
        silent = dist.is_initialized() and dist.get_rank() > 0
        stop()
        if silent:
            raise SystemExit(128 + stopped.signal) from None
        raise
    except Exception as error:
        # without stop(), which may wait for those that still run; the launcher ends them
        if arguments.launcher == "none" or arguments.debug:
            raise
        if not _fails_first():
            raise SystemExit(2 if isinstance(error, UserError) else 1) from None
        machine = os.environ.get("GROUP_RANK") or os.environ.get("SLURM_NODEID") or "0"
        if _misses_another(error):
            text = "another rank has ended, with a message of its own or killed by a signal"
            raise UserError(f"{text}; continue with --auto_resume") from error
        if isinstance(error, UserError) and machine != "0":
            raise UserError(f"{error} (on {socket.gethostname()}, machine {machine})") from error
        raise
    stop()


def gathered(value: Any) -> list[Any]:
    """Every rank's value, in the order of ranks."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first_rank(value: Any) -> Any:
    """Rank 0's value, on every rank."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values)
    return values[0]


def as_on_first_rank(tensors: Iterable[torch.Tensor]) -> None:
    """Give tensors the values they have on rank 0."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def on_any_rank(flag: bool) -> bool:
    """Whether the flag is true on at least one rank; every rank gets the same answer."""
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
    """Wait until every rank is here."""
    on_any_rank(False)  # not dist.barrier, which between GPUs would not notice that one of them is gone


def is_first_here() -> bool:
    """Whether this is the first process of its machine."""
    return not dist.is_initialized() or os.environ["LOCAL_RANK"] == "0"


def launch() -> str | None:
    """A unique name of the torchrun that started this process; it stays the same after a restart."""
    # TORCHELASTIC_RESTART_COUNT stays 0 if a machine has come back or joined
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")  # UNIQUE_FOLDER/attempt_N/LOCAL_RANK/error.json
    return str(Path(file).parents[2]) if file else None


def _fails_first() -> bool:
    """Whether this rank is the first to ask."""
    if _store is None and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        # there is no store yet to ask the others: most likely the same has happened to each
        return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    try:
        return (_store or _store_of_torchrun()).add("failures", 1) == 1
    except (RuntimeError, ValueError):  # the store has gone with the process that held it
        return False


def _misses_another(error: Exception) -> bool:
    """Whether an error says only that another rank is gone; NCCL and gloo raise it."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and re.search(r"gloo.*(peer|[Tt]imed out)", str(error)) is not None


def _of_this_start(store: Store, rank: int, world_size: int) -> Store:
    """A part of the store that only the ranks of this start use.

    torchrun (2.13) keeps its store from restart to restart, and with it the addresses of ranks that are gone;
    its number of restarts is not the same on every machine.  So rank 0 draws a name and gives it to every
    rank that asks.
    """
    own, deadline = uuid4().hex, time.monotonic() + TIMEOUT.total_seconds()
    if rank > 0:
        store.set(f"ask/{rank}", own)
        name = store.get(f"answer/{own}").decode()
        store.add(f"met/{name}", 1)
        return PrefixStore(name, store)
    while store.add(f"met/{own}", 0) < world_size - 1:
        for other in range(1, world_size):
            if store.check([f"ask/{other}"]):  # perhaps left by one that is gone: its answer does no harm
                store.set(f"answer/{store.get(f'ask/{other}').decode()}", own)
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {world_size} ranks came within {TIMEOUT}")
        time.sleep(0.02)
    return PrefixStore(own, store)


def _store_of_torchrun() -> Store:
    """The store where the ranks meet, for a rank that fails before it joins them."""
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=datetime.timedelta(seconds=10),
    )
    return PrefixStore(f"attempt/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def _own_gpu(launcher: str) -> int:
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if launcher == "slurm" and there == 1:
        return 0  # with srun --gpus-per-task=1 each process sees only its own
    if local >= there:
        raise UserError(
            f"--launcher {launcher}: process {local + 1} of this machine, which has {there} GPUs; start "
            "fewer, or use --force_yml num_gpu=0"
        )
    return local


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
    if "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostnames", nodes]
        try:
            names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            os.environ["MASTER_ADDR"] = names[0]
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            text = f"--launcher slurm: `{' '.join(command)}` does not name the first machine: {error}"
            raise UserError(f"{text}; set MASTER_ADDR") from error
    os.environ.update(ranks)
    os.environ.setdefault("MASTER_PORT", str(port or 29500))
