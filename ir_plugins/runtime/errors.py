"""The exceptions that end a command with one line, and functions that write such a line."""

import difflib
import os
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user.

    The message is one line that says what is wrong, where, and how to mend it; the command line prints it
    without a traceback and exits with status 2.
    """


class Stopped(Exception):
    """A signal ended a run early, with nothing lost; the message says where.

    Args:
        signal: Its number.
        message: Where the run ended.
    """

    def __init__(self, signal: int, message: str = ""):
        super().__init__(message)
        self.signal = signal


def file_fault(error: OSError) -> str:
    """An error of the system as "FILE: what is wrong"; without FILE if the system does not name it.

    Args:
        error: What reading or writing raised.
    """
    text = error.strerror or str(error)
    return text if error.filename is None else f"{os.fsdecode(error.filename)}: {text}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first names and the number of the others: 'a.png, b.png and 7 more'.

    A name with a line break or another character that cannot be printed is written as in Python.

    Args:
        names: All of them.
        most: How many to write out.
    """
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:most]) + rest


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that somebody meant who wrote another; None if there is nothing like it.

    Args:
        word: What was written; upper and lower case matter only where it helps.
        known: The names that there are.
        cutoff: How alike they must be, from 0 to 1.
    """
    word, names = word[:200], sorted(known)
    if near := difflib.get_close_matches(word, names, n=1, cutoff=cutoff):
        return near[0]
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=cutoff)
    return lower[near[0]] if near else None
