"""The command `basicsr`: parses arguments, then imports the one sub-command that runs.

Imports nothing heavy itself: help and messages about a wrong command line come at once.  Every error and
every signal of every command ends here.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC
from signal import SIGINT
from typing import TYPE_CHECKING

from .runtime.errors import Stopped, UserError
from .runtime.interruption import Ending, speaks
from .runtime.output import flush_output, open_missing_streams, reader_is_gone
from .runtime.parents import follow_torchrun

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any

LONG = ("train", "test")  # they go on where nothing can be printed
CODECS = ("png", "raw")  # the same as in pictures/lmdb.py, which is slow to import
WRITING = ("train", "test", "lmdb", "schema")  # commands that clean up when they are interrupted


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr ARGV`.

    Args:
        argv: The command and its arguments; default: those of this process, which ends with the command.

    Returns:
        The exit status: 0 on success, 2 for the user's mistakes and if the machine runs short of something,
        130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
    """
    open_missing_streams()
    with Ending("basicsr", own=argv is None) as ending:
        return _run(argv, ending)


def _run(argv: Sequence[str] | None, ending: Ending) -> int:
    command, debug = "", False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may hold what no text can: $'\\xff.yml'
            stream.reconfigure(errors="backslashreplace")
    try:
        import importlib

        arguments = _parsed(argv)
        command, debug = arguments.command, getattr(arguments, "debug", False)
        ending.name = f"basicsr {command}"
        if getattr(arguments, "launcher", "none") == "pytorch":
            follow_torchrun()
        module = importlib.import_module(f"{__package__}.commands.{command}")
        ending.at_once &= command not in WRITING
        module.run(arguments)
        _flush(command)
        return 0
    except Stopped as stopped:
        return _say(f"\n{ending.name}: {stopped}", 128 + stopped.signal)
    except KeyboardInterrupt as interrupt:
        # on a line of its own, below a progress bar
        number = getattr(interrupt, "signal", SIGINT)
        return _say(f"\n{ending.line(number)}" if speaks() else "", 128 + number)
    except Exception as error:
        # all others name their files; train and test go on where nothing can be printed
        from_print = isinstance(error, OSError) and not error.filename and command not in LONG
        if from_print and isinstance(error, BrokenPipeError) and reader_is_gone():
            return 0
        if from_print and error.errno in (ENOSPC, EFBIG, EDQUOT):
            flush_output()
            error.filename = "standard output"
        if ending.received is not None:  # what was interrupted made another error of it
            return _say(f"\n{ending.line(ending.received)}" if speaks() else "", 128 + ending.received)
        text = None if debug else _line(error, command)
        if text is None:
            raise
        return _say(f"{ending.name}: error: {text}", 2)


def _parsed(argv: Sequence[str] | None) -> Namespace:
    try:
        return _parser().parse_args(argv)
    except SystemExit:  # after --help
        _flush()
        raise


def _line(error: Exception, command: str) -> str | None:
    """What to say of an error; None: a traceback."""
    try:
        from .runtime.shortages import shortage

        text = shortage(error, command)
    except MemoryError:
        text = "memory ran out; free some"
    return text or (_message(error) if isinstance(error, (UserError, OSError)) else None)


def _flush(command: str = "") -> None:
    """Write what was printed: at Python's own end an error would be too late for a message."""
    fault = flush_output()
    if fault is None or isinstance(fault, BrokenPipeError) or command in LONG:
        return
    raise OSError(fault.errno, fault.strerror, "standard output") from fault


def _say(text: str, status: int) -> int:
    """Print a line for a person, if anybody is still there, and return the exit status."""
    with suppress(OSError, ValueError):
        if text:
            print(text, file=sys.stderr)
    return status


def _parser() -> ArgumentParser:
    import argparse

    from .commands.list import KIND_NAMES
    from .runtime.errors import nearest

    class Parser(argparse.ArgumentParser):
        """Suggests the nearest of several choices."""

        def _check_value(self, action: argparse.Action, value: Any) -> None:
            if action.choices is not None and value not in action.choices:
                near = nearest(str(value), map(str, action.choices), 0.5)
                known = ", ".join(map(str, action.choices))
                hint = f"did you mean '{near}'?" if near else f"choose from {known}"
                raise argparse.ArgumentError(action, f"'{value}' is not known; {hint}")

    parser = Parser(prog="basicsr", description="Train and test image restoration networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> ArgumentParser:
        """Add a sub-command: the function `run` of commands/NAME.py."""
        return commands.add_parser(name, help=text, description=text)

    for name, text in (
        ("train", "train a network from an option file; writes experiments/NAME and tb_logger/NAME"),
        ("test", "restore and measure test sets; writes results/NAME"),
    ):
        sub = command(name, text)
        _add_option_file(sub)
        sub.add_argument(
            "--launcher", choices=("none", "pytorch", "slurm"), default="none", help="job launcher"
        )
        sub.add_argument(
            "--auto_resume", action="store_true", help="continue from the newest training state, if any"
        )
        sub.add_argument("--debug", action="store_true", help="log, save and validate often; show tracebacks")
        # torch.distributed.launch passes it in either spelling; the ranks come from the environment
        sub.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)

    sub = command("lmdb", "pack a folder of images into an LMDB that BasicSR's datasets read")
    sub.add_argument("--input", required=True, metavar="DIR", help="folder of images")
    sub.add_argument("--output", required=True, metavar="DIR.lmdb", help="database to write")
    sub.add_argument(
        "--codec",
        choices=CODECS,
        default="png",
        help="png (default): small, and BasicSR without this plugin reads it too; raw: undecoded pixels, of "
        "which a crop reads only its rows, for about twice the disk space",
    )
    sub.add_argument("--workers", type=int, metavar="N", help="default: one per CPU core")

    _add_option_file(command("check", "check an option file; reads no data, writes nothing"))

    sub = command("list", "list what an option file can name")
    sub.add_argument("kind", choices=KIND_NAMES)
    sub.add_argument("name", nargs="?", help="show the arguments and the documentation of this one")
    _add_plugins(sub)

    sub = command("profile", "parameters, MACs, latency and peak memory of network_g")
    _add_option_file(sub)
    sub.add_argument(
        "--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="input, in pixels"
    )

    sub = command("schema", "write the JSON Schema by which editors complete and check option files")
    sub.add_argument("--output", required=True, metavar="FILE.json", help="file to write")
    _add_plugins(sub)
    return parser


def _add_option_file(parser: ArgumentParser) -> None:
    parser.add_argument("-opt", required=True, metavar="FILE", help="option file (YAML)")
    parser.add_argument(
        "--force_yml",
        nargs="+",
        action="extend",
        metavar="K:K=V",
        help="override options, e.g. train:total_iter=1000",
    )
    _add_plugins(parser)


def _add_plugins(parser: ArgumentParser) -> None:
    """Add --plugin, for every command that builds or lists classes."""
    from .runtime.plugins import VARIABLE

    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE_OR_FILE.py",
        help="import a module or a file first, which registers your own networks, losses, ...; can be given "
        f"several times, also in the environment variable {VARIABLE}",
    )


def _message(error: Exception) -> str:
    """An error's message, without the traceback that a data worker puts before its own."""
    if isinstance(error, FileNotFoundError) and error.errno and error.filename is None:  # os.getcwd()
        return "the current folder does not exist any more; change to another one"
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return (
        text.rsplit("UserError: ", 1)[-1].strip() if "UserError: " in text else text.strip().splitlines()[-1]
    )
