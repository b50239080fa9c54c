"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A mistake in what the user gave us.

    The message is one line that says what is wrong, where, and how to mend it; the command line prints it
    without a traceback and exits with status 2.
    """
