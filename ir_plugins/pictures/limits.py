"""How large a picture may be: what OpenCV decodes, and what this machine holds."""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

MOST_PIXELS = 1 << 30  # these three are OpenCV's
MOST_SIDE = 1 << 20
MOST_BYTES = (1 << 31) - 1  # of a file


def size_fault(height: int, width: int, bits: int = 8) -> str:
    """Why a picture is too large to decode, in a few words; empty if it is not.

    Args:
        height: In pixels.
        width: In pixels.
        bits: Bits of a channel.
    """
    size = f"{height}x{width} pixels"
    if max(height, width) > MOST_SIDE:
        return f"{size}, and OpenCV decodes sides up to {MOST_SIDE}"
    if height * width > MOST_PIXELS:
        return f"{size}, and OpenCV decodes up to {MOST_PIXELS}"
    needed, there = height * width * 4 * max(8, bits) // 8, machine_memory()
    if needed > there:
        return f"{size}, which take {needed / 1e6:.0f} MB, and this machine has {there / 1e6:.0f} MB"
    return ""


@lru_cache(maxsize=1)
def machine_memory() -> float:
    """The memory that this process may use, in bytes; infinite where the system does not say."""
    limits = [float("inf")]
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container: version 2 and 1
        try:
            limits.append(float(Path("/sys/fs/cgroup", file).read_text()))
        except (OSError, ValueError):  # ValueError: "max"
            continue
    with suppress(AttributeError, OSError, ValueError):  # not POSIX
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return min(limit for limit in limits if limit > 0)
