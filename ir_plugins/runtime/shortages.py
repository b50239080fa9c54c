"""What a machine ran short of, from the many errors that say so: memory, open files, processes, room."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress

from .capacity import amount
from .errors import UserError
from .regular import TooLarge

SHARED = "/dev/shm"
GPU = re.compile(
    r"(CUDA|HIP|MPS|XPU) (backend )?out of memory|CUDA error: out of memory|(CUBLAS|CUDNN)\w*_ALLOC_FAILED"
)
SHARED_MEMORY = re.compile(
    r"</torch_|shared memory ?\(shm\)|shared memory (object|file)|unable to (resize|mmap) \d+ bytes"
)
MEMORY = re.compile(
    r"annot allocate memory|can't allocate memory|not enough memory|bad_alloc|Insufficient memory|"
    r"failed to map segment|static TLS block|Storage size calculation overflowed|"
    r"could not create a primitive(?! descriptor)"
)
ASKED = re.compile(r"(?:tried to allocate|Unable to allocate|Failed to allocate) ([\d.]+) (\w+)", re.I)
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
LESS = {
    "train": "lower datasets:train:batch_size_per_gpu or gt_size",
    "validation": "lower val:window_size or the size of the pictures",
    "lmdb": "lower --workers",
    "profile": "lower --size",
}


def shortage(error: BaseException, command: str) -> str | None:
    """One line that says what ran short, by which limit, and what helps; None for other errors.

    Args:
        error: What ended the command, and what caused it.
        command: The command, such as "train".
    """
    for one in _chain(error):
        if isinstance(one, UserError):
            return None
        if text := _explained(one, command):
            return text
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _explained(error: BaseException, command: str) -> str | None:
    try:
        text = str(error)
    except Exception:  # an exception that cannot say what it is
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENFILE:
        return "too many open files in all processes of this machine; end some of them"
    if number == errno.EMFILE or "Too many open files" in text or "items of ancdata" in text:
        return f"too many open files: {_limit('NOFILE', 'n') or 'a limit'}; raise it, or {_fewer(command)}"
    if "No usable temporary directory" in text:
        named = os.environ.get("TMPDIR")
        found = f"TMPDIR={named}" if named else "the usual one"
        return f"{found} is missing, full or not writable; let TMPDIR name a folder for temporary files"
    if "can't start new thread" in text or _is_fork(error, text):
        limits = _limit("NPROC", "u"), _limit("AS", "v"), _limit("STACK", "s")
        known = [*filter(None, limits), "a container may have a limit of its own"]
        return f"no further process or thread can be started ({', '.join(known)}); {_fewer(command)}"
    if SHARED_MEMORY.search(text) or _is_semaphore(error, text):
        return f"{shared_memory()}; enlarge it (docker: --shm-size), or {_fewer(command)}"
    if GPU.search(text) or type(error).__name__ == "OutOfMemoryError":
        return f"the GPU's memory ran out{_asked(text)}; {_less(error, command)}"
    if isinstance(error, MemoryError) or number == errno.ENOMEM or MEMORY.search(text):
        limit = _limit("AS", "v") or _limit("DATA", "d")
        return f"memory ran out{_asked(text)}{f': {limit}' if limit else ''}; {_less(error, command)}"
    if number == errno.EFBIG and not isinstance(error, TooLarge) and (limit := _limit("FSIZE", "f")):
        return f"{_named(error)}File too large: {limit}; raise it"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{_named(error)}{os.strerror(number)}{'' if _named(error) else _full()}; make room"
    return None


def shared_memory() -> str:
    """A clause that says how full the shared memory is."""
    try:
        usage = shutil.disk_usage(SHARED)
    except OSError:
        return "shared memory ran out"
    return f"shared memory ran out: {SHARED} has {amount(usage.total)}, {amount(usage.free)} of them free"


def _is_fork(error: BaseException, text: str) -> bool:
    # a pipe that takes nothing more has another text
    return isinstance(error, BlockingIOError) and os.strerror(errno.EAGAIN) in text and error.filename is None


def _is_semaphore(error: BaseException, text: str) -> bool:
    """Whether multiprocessing could not make a semaphore, which is a file without a name."""
    if not isinstance(error, OSError) or error.errno != errno.ENOSPC or error.filename:
        return False
    return any(code == "SemLock" or "synchronize" in file for file, code in _frames(error))


def _frames(error: BaseException) -> Iterator[tuple[str, str]]:
    """The file and the function of each call that an error passed through."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_name
        trace = trace.tb_next


def _limit(name: str, letter: str) -> str | None:
    """A limit of this process, as a clause; None if there is none."""
    try:
        import resource  # POSIX only

        value = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]
    except (ImportError, AttributeError, OSError):
        return None
    if value == resource.RLIM_INFINITY:
        return None
    shown = amount(value) if name in ("AS", "DATA", "FSIZE", "STACK") else str(value)
    return f"`ulimit -{letter}` allows {shown}"


def _asked(text: str) -> str:
    found = ASKED.search(text)
    if found is None or found[2] not in UNITS:
        return ""
    return f" when {amount(float(found[1].rstrip('.')) * UNITS[found[2]])} more were asked for"


def _less(error: BaseException, command: str) -> str:
    """What to lower, by what was going on."""
    calls = list(_frames(error))
    if any(file.startswith("<frozen importlib") for file, _ in calls):
        return "it was importing Python's modules: free some memory"
    if any(name == "validation" for _, name in calls) or command == "test":
        return LESS["validation"]
    return LESS.get(command, "free some memory")


def _fewer(command: str) -> str:
    if command == "train":
        return "lower datasets:train:num_worker_per_gpu"
    return "lower --workers" if command == "lmdb" else "end other programs"


def _named(error: BaseException) -> str:
    file = getattr(error, "filename", None)
    return f"{file}: " if file else ""


def _full() -> str:
    """The folders without room that a command may write to, as a clause."""
    full = []
    for folder in (os.curdir, os.environ.get("TMPDIR", "/tmp"), SHARED):
        with suppress(OSError):
            if shutil.disk_usage(folder).free < 1 << 20:
                full.append(os.path.abspath(folder))
    return f" in {', '.join(full)}" if full else ""
