"""Share work between threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """The cores that this process may use; in a container or job these are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, desc: str, workers: int | None = None
) -> Iterator[Result]:
    """Yield function(item) for every item, in order, with a progress bar.

    Threads are enough: OpenCV, NumPy, hashing and file reads all release the interpreter lock.  At most two
    results per worker wait to be taken, so memory stays bounded.

    Args:
        function: Called with each item, in a thread.
        items: What to work on.
        desc: Name of the progress bar.
        workers: Threads; default: one per usable core.
    """
    workers = workers or usable_cores()
    total = len(items) if isinstance(items, Sized) else None
    waiting: deque = deque()
    with (
        tqdm(total=total, desc=desc, unit="image", delay=1, disable=None) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            # after an error or Ctrl-C nothing new starts
            pool.shutdown(wait=True, cancel_futures=True)
