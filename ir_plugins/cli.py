"""The command `basicsr`: parses arguments, then imports the one sub-command that runs.

Imports nothing heavy itself: help and messages about a wrong command line come at once.
"""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from .commands.list import KIND_NAMES
from .runtime.errors import Stopped, UserError
from .runtime.output import flush_output
from .runtime.plugins import VARIABLE

LONG = ("train", "test")  # they go on where nothing can be printed
CODECS = ("png", "raw")  # the same as in pictures/lmdb.py, which is slow to import


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr ARGV`.

    Returns:
        The exit status: 0 on success, 2 for the user's mistakes, 130 after Ctrl-C and 143 after SIGTERM.
    """
    arguments = _parser().parse_args(argv)
    status = _run(arguments)
    fault = flush_output()
    if fault is None or isinstance(fault, BrokenPipeError) or arguments.command in LONG:
        return status  # what train and test have to say is in their folders
    _say(f"basicsr {arguments.command}: error: standard output: {fault.strerror}")
    return status or 2


def _run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; return the exit status."""
    try:
        importlib.import_module(f"{__package__}.commands.{arguments.command}").run(arguments)
    except BrokenPipeError:  # `basicsr list archs | head`
        sys.stdout = None
    except (UserError, OSError) as error:
        if getattr(arguments, "debug", False):
            raise
        text = _message(error)
        unnamed = (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG) and not error.filename
        )
        if unnamed and arguments.command not in LONG:  # all writers of files name theirs, print does not
            text = f"standard output: {os.strerror(error.errno)}"
            flush_output()
        _say(f"basicsr {arguments.command}: error: {text}")
        return 2
    except Stopped as stopped:
        _say(f"\nbasicsr {arguments.command}: {stopped}")
        return 128 + stopped.signal
    except KeyboardInterrupt:
        # on a line of its own, below a progress bar
        _say(f"\nbasicsr {arguments.command}: interrupted")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="basicsr", description="Train and test image restoration networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
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


def _add_option_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-opt", required=True, metavar="FILE", help="option file (YAML)")
    parser.add_argument(
        "--force_yml",
        nargs="+",
        action="extend",
        metavar="K:K=V",
        help="override options, e.g. train:total_iter=1000",
    )
    _add_plugins(parser)


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    """Add --plugin, for every command that builds or lists classes."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE_OR_FILE.py",
        help="import a module or a file first, which registers your own networks, losses, ...; can be given "
        f"several times, also in the environment variable {VARIABLE}",
    )


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be a file on a full disk
        print(text, file=sys.stderr)


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
