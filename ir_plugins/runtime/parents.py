"""A process that ends with the one that started it, however that one ends."""

import os
import signal
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # of Linux' <sys/prctl.h>
GRACE = 300.0  # seconds in which an orphaned rank may save itself


def die_with_parent() -> None:
    """Let the kernel kill this process as soon as its parent is dead; only Linux does.

    It counts for the thread of the parent that has started this process.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):  # a libc without prctl
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def follow_torchrun() -> None:
    """End this rank if the torchrun that started it is killed: nobody else would.

    The rank gets SIGTERM, so that it saves, and after `GRACE` seconds it ends in any case: it may wait in
    vain for a rank that is gone.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # else the ranks are started by hand, and outlive their shell
        import threading

        threading.Thread(target=_follow, args=(os.getppid(),), name="follow-torchrun", daemon=True).start()


def _follow(parent: int, every: float = 0.5) -> None:
    while os.getppid() == parent:
        time.sleep(every)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
