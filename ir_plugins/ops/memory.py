"""The memory that an op may use, and whether it may overwrite tensors.

The caller decides (see `memory_for`) and passes the limits to the op, which looks at nothing else.
"""

from typing import NamedTuple

import torch


class Memory(NamedTuple):
    """Limits for a fast way: what it may hold at a time and overwrite.  References need none of this.

    Args:
        channels: Numbers per chunk of a picture's channels; None: all channels at once.
        least_channels: Channels per chunk at least, even beyond `channels`: thinner chunks are slow.
        windows: Logits per chunk of windows in dense attention; None: all windows at once.
        neighbours: Logits per chunk of windows and heads in key-semantic attention; None: all at once.
        overwrite: Whether intermediate results may be overwritten because no backward pass reads them.
        eager: Whether operations run as they are called.  A compiler that records them can neither write
            into a part of a buffer nor keep a result for the next call.
    """

    channels: int | None = None
    least_channels: int = 1
    windows: int | None = None
    neighbours: int | None = None
    overwrite: bool = False
    eager: bool = True


# CPU: what the allocator hands out again instead of mapping fresh pages, and for neighbours what stays in a
# core's cache (measured).  GPU: what keeps all its multiprocessors busy; a guess that only bounds its memory.
LIMITS = {
    "cpu": Memory(channels=1 << 21, least_channels=16, windows=1 << 21, neighbours=1 << 20),
    "cuda": Memory(channels=1 << 28, least_channels=16, windows=1 << 27, neighbours=1 << 27),
}


def memory_for(device: torch.device, *, gradients: bool = True, compiled: bool = False) -> Memory:
    """The memory that an op may take in a forward pass.  This is the only place that decides it.

    Args:
        device: Where the tensors are.
        gradients: Whether a backward pass may follow.  It needs all intermediate results, so chunks would
            save nothing; only key-semantic attention computes them again, in chunks.
        compiled: Whether a compiler records the operations.  The size of a chunk would be burnt in.
    """
    limits = LIMITS.get(device.type, LIMITS["cpu"])
    if gradients or compiled:
        limits = limits._replace(channels=None, windows=None)
    return limits._replace(overwrite=not gradients, eager=not compiled)


def chunks(first: int, last: int, step: int) -> list[slice]:
    """The numbers first to last - 1 in slices of at most `step`."""
    return [slice(start, min(start + step, last)) for start in range(first, last, step)]
