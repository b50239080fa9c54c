"""The machine of a run: its device, the time and memory that work takes there, versions of packages."""

import ctypes
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch

# the bytes that `cost` finds, by type of device, for reports
MEANING = {
    "cuda": "peak of torch's allocator in the forward pass, weights and input included",
    "cpu": "growth of the process's resident memory to its peak in the forward pass, weights and input not "
    "included",
}


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cost(work: Callable[[], object], device: torch.device) -> tuple[float, int | None]:
    """The time and memory that a call takes.

    Args:
        work: Called once, without arguments.
        device: Where it works.

    Returns:
        Seconds, and peak bytes, which `MEANING` explains; None for the bytes if the system does not report
        them: GPUs and Linux do.
    """
    known = _reset_peak(device)
    before = peak_memory(device) if known and device.type == "cpu" else 0
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    seconds = time.perf_counter() - start
    return seconds, max(0, peak_memory(device) - before) if known else None


def peak_memory(device: torch.device, reset: bool = False) -> int:
    """Peak bytes since the last reset: of torch's allocator on a GPU, of the process on a CPU; 0: unknown.

    Args:
        device: Whose memory is meant.
        reset: Forget the peak so far first.
    """
    if reset:
        _reset_peak(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on, by name."""
    names = ("ir_plugins", "basicsr", "torch", "torchvision", "numpy")
    return {"Python": platform.python_version()} | {name: version(name) for name in names}


def _reset_peak(device: torch.device) -> bool:
    """Forget the peak so far.  Returns whether that can be done here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(OSError, AttributeError, TypeError):  # where the C library is another, or has no such name
        # glibc keeps what was freed: a second picture would seem to need nothing
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:  # not Linux, or a sandbox
        return False
