"""Work that may crash the process, in a child of its own."""

import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")


class Crashed(Exception):
    """The child died before it had a result; the message says of what."""


def in_child(work: Callable[[], T]) -> T:
    """The result of a function that a forked process runs.  Outside Linux this process runs it itself.

    A library that reads a damaged memory map is killed by a signal, which no exception can catch.

    Args:
        work: Its result or exception must be picklable.

    Raises:
        Crashed: The child was killed by a signal.
        Exception: Whatever `work` raises.
    """
    if sys.platform != "linux":  # forking is not safe there
        return work()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(work, sender))
    child.start()
    sender.close()
    try:
        succeeded, result = receiver.recv()
    except EOFError:
        child.join()
        raise Crashed(_cause(child.exitcode or 0)) from None
    except BaseException:
        child.kill()
        raise
    finally:
        receiver.close()
        child.join()
    if not succeeded:
        raise result
    return result


def _send(work: Callable[[], Any], sender: Connection) -> None:
    faulthandler.disable()  # the parent has a message of its own
    try:
        answer = (True, work())
    except Exception as error:
        answer = (False, error)
    sender.send(answer)
    sender.close()
    sys.stderr.flush()
    os._exit(0)  # the parent's objects are not this process's to clean up


def _cause(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"status {code}"
