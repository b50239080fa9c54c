"""The memory that there is, and that this process can still take."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> float:
    """Bytes that this process can still take: the least of what the machine, its container and ulimit leave.

    Infinite where the system does not say.
    """
    return min((free for free in (_of_machine(), _of_limit(), *_of_container())), default=math.inf)


@lru_cache(maxsize=1)
def whole_memory() -> float:
    """Bytes that this machine or its container has.  Infinite where the system does not say."""
    sizes = [math.inf, *_of_container()]
    with suppress(AttributeError, OSError, ValueError):  # not POSIX
        sizes.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return min(size for size in sizes if size > 0)


def amount(size: float) -> str:
    """A number of bytes in words, as "3.2 GB"."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size / 1e3:.1f} KB"


def _of_machine() -> float:
    with suppress(OSError, StopIteration, ValueError):  # not Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024.0
    return math.inf


def _of_limit() -> float:
    """What `ulimit -v` leaves."""
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource  # POSIX only

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            return max(0.0, float(most - taken))
    return math.inf


def _of_container() -> Iterator[float]:
    """The limits of this process's groups, in both versions; pages of files do not count as taken."""
    groups = [CGROUPS]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            path = CGROUPS / line.split(":", 2)[2].lstrip("/")
            groups += [path, *path.parents] if CGROUPS in path.parents else []
    files = [group / "memory.max" for group in groups]
    for file in dict.fromkeys([*files, CGROUPS / "memory/memory.limit_in_bytes"]):
        with suppress(OSError, ValueError):  # "max": no limit
            yield float(file.read_text())
