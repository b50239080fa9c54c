"""The one exception that means: the user can mend this."""


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
