"""The exceptions that end a command with one line, and a function that lists names in such a line."""

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
