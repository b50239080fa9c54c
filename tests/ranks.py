"""Ranks without torchrun: forked from the tests, so that none of them imports torch anew."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from torch.distributed import TCPStore

from ir_plugins.cli import main


def start(count: int, task: Callable[[], int | None], **names: str) -> list:
    """Processes that run a task with the environment of torchrun; what rank N writes goes into rankN.txt.

    They end with what it returns.  names: more environment.
    """
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)  # as torchrun's agent holds one
    fork, processes = multiprocessing.get_context("fork"), []
    for rank in range(count):
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": store.port}
        environment |= {"MASTER_ADDR": "localhost", "TORCHELASTIC_USE_AGENT_STORE": True} | names
        process = fork.Process(target=_run, args=(task, rank, environment))
        process.start()
        process.store = store
        processes.append(process)
    return processes


def finish(processes: list, seconds: float = 120) -> list[int]:
    """How they ended; none of them may take longer."""
    for process in processes:
        process.join(seconds)
        if process.exitcode is None:
            for one in processes:
                one.kill()
            raise TimeoutError("\n".join(written(rank) for rank in range(len(processes))))
    return [process.exitcode for process in processes]


def run(count: int, task: Callable[[], int | None], **names: str) -> list[int]:
    return finish(start(count, task, **names))


def written(rank: int) -> str:
    return Path(f"rank{rank}.txt").read_text(errors="replace")


def train(*overrides: str, ranks: int = 2, command: str = "train", **names: str) -> None:
    """`basicsr train` in so many ranks, in one process without a launcher; it must end well."""
    codes = run(ranks, task(*overrides, command=command, launcher=ranks > 1), **names)
    assert codes == [0] * ranks, "\n".join(written(rank) for rank in range(ranks))


def task(*overrides: str, command: str = "train", launcher: bool = True, auto_resume: bool = False):
    arguments = [command, "-opt", "tiny.yml", *(["--launcher", "pytorch"] if launcher else [])]
    arguments += ["--auto_resume"] if auto_resume else []
    return lambda: main([*arguments, *(["--force_yml", *overrides] if overrides else [])])


def _run(task: Callable[[], int | None], rank: int, environment: dict[str, object]) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    with open(f"rank{rank}.txt", "w", buffering=1) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        sys.stdout = sys.stderr = file  # pytest's point elsewhere
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            status = task() or 0
        except SystemExit as exit:
            status = exit.code if isinstance(exit.code, int) else 1
        except BaseException:
            traceback.print_exc()
            status = 1
    os._exit(status)
