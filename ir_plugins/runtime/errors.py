"""The exceptions that end a command with one line, and how such a line lists names."""

from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave us.

    The message is one line that says what is wrong, where, and how to mend it; the command line prints it
    without a traceback and exits with status 2.
    """


class Stopped(Exception):
    """A run ended early because it was told to by a signal, with nothing lost; the message says where."""

    def __init__(self, signal: int, message: str = ""):
        super().__init__(message)
        self.signal = signal


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first `most` names and how many there are beyond them: 'a.png, b.png and 7 more'."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
