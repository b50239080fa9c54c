"""The folder of a run, experiments/NAME or results/NAME: one run at a time, and an older one is kept."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basicsr.utils import get_time_str

from ..options.reading import OptionFile, Options
from ..runtime.errors import UserError
from ..runtime.locks import alone
from ..runtime.regular import real
from ..runtime.storage import numbered_states, remove_parts, written_whole


def root(opt: Options) -> Path:
    """The folder of a run.

    Args:
        opt: Complete options.
    """
    return Path(opt["path"]["experiments_root" if opt["is_train"] else "results_root"])


@contextlib.contextmanager
def locked(opt: Options) -> Iterator[None]:
    """Keep other runs of this name from writing; rank 0 holds the lock.

    Args:
        opt: Options of a training or a test, which have locks of their own.

    Raises:
        UserError: Another run holds the lock, or there cannot be one.
    """
    if opt["rank"] != 0:
        yield
        return
    parent = root(opt).parent
    lock, made = parent / f".{opt['name']}.lock", not parent.exists()
    try:
        parent.mkdir(exist_ok=True)
    except FileExistsError:
        raise UserError(
            f"{parent}: is a file, and {opt['name']} needs a folder there; move it away"
        ) from None
    busy = f"{parent.name}/{opt['name']} is being written by another run; wait for it, or choose another name"
    with alone(lock, busy):
        try:
            yield
        except BaseException:
            if made and list(parent.iterdir()) == [lock]:  # the run could not begin
                with contextlib.suppress(OSError):
                    lock.unlink()
                    parent.rmdir()
            raise


def make_folders(opt: Options, log_file: Path, option_file: OptionFile | None = None, *, fresh: bool) -> None:
    """Make the folders of a run, its log file and its copy of the option file, or leave all as it was.

    BasicSR's make_exp_dirs fails on a second archive within a second, and archives a run even if the next
    one cannot start.

    Args:
        opt: Options of the run.
        log_file: Where the run logs.
        option_file: What to copy; default: nothing.
        fresh: Archive what is there, TensorBoard's files included; else go on in it.

    Raises:
        OSError: The disk is full, or a folder cannot be written.
    """
    folder = root(opt)
    renewed = [folder]
    if opt["is_train"] and opt["logger"].get("use_tb_logger"):
        renewed.append(Path(opt["root_path"], "tb_logger", opt["name"]))
    with contextlib.ExitStack() as stack:
        for one in renewed if fresh else ():
            stack.enter_context(_renewed(one))
        for key in ("models", "training_states", "visualization"):
            if key in opt["path"]:
                # a run that resumes under another name has none yet
                Path(opt["path"][key]).mkdir(parents=True, exist_ok=True)
        if option_file is not None and (fresh or real(option_file.path).parent != real(folder)):
            with written_whole(folder / Path(option_file.path).name) as file:
                file.write(_heading() + option_file.text)
        with written_whole(log_file, durable=False) as file:
            file.write(b"\n" * 4096)  # an empty file would fit on a full disk; the logger writes over it


def clear(opt: Options, state: dict[str, Any] | None) -> None:
    """Remove half-written files of a killed process; rename states that are later than the resumed one.

    Args:
        opt: Options of a training.
        state: The training state that it continues from; None for a new run.
    """
    remove_parts(root(opt))
    if state is None:
        return
    for ahead in numbered_states(opt["path"]["training_states"]):
        if int(ahead.stem) > state["iter"]:
            # else --auto_resume would later continue from them
            ahead.replace(ahead.with_name(f"{ahead.name}.old"))


@contextlib.contextmanager
def _renewed(folder: Path) -> Iterator[None]:
    """An empty folder; what was there is archived.  If the block fails, it comes back."""
    archive = _archive_name(folder) if os.path.lexists(folder) else None
    if archive:
        remove_parts(folder)
        os.rename(folder, archive)
    missing = [parent for parent in folder.parents if not parent.exists()]  # the deepest first
    made = False
    try:
        folder.mkdir(parents=True)
        made = True
        yield
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run may have put its own folder there
            for parent in missing:
                parent.rmdir()
        if archive:
            os.rename(archive, folder)
        raise
    if archive:
        print(f"Path already exists. Rename it to {archive}", flush=True)  # in BasicSR's words


def _archive_name(folder: Path) -> str:
    """A name as BasicSR's mkdir_and_rename gives it, and that no folder has."""
    name = first = f"{folder}_archived_{get_time_str()}"
    number = 1
    while os.path.lexists(name):
        number += 1
        name = f"{first}_{number}"
    return name


def _heading() -> bytes:
    """What BasicSR's copy_opt_file puts above the options: when and by which command the run began."""
    # a line break would end the comment, and YAML holds printable characters only
    command = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(sys.argv))
    return f"# GENERATE TIME: {time.asctime()}\n# CMD:\n# {command}\n\n".encode()
