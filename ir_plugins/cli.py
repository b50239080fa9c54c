"""The command `basicsr`: parses arguments, then imports the one sub-command that runs.

Imports nothing heavy itself: help and messages about a wrong command line come at once.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from .commands.list import KIND_NAMES
from .runtime.errors import Stopped, UserError, nearest
from .runtime.plugins import VARIABLE

CODECS = ("png", "raw")  # the same as in pictures/lmdb.py, which is slow to import


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr ARGV`.

    Returns:
        The exit status: 0 on success, 2 for the user's mistakes, 130 after Ctrl-C and 143 after SIGTERM.
    """
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may hold what no text can: $'\\xff.yml'
            stream.reconfigure(errors="backslashreplace")
    try:
        importlib.import_module(f"{__package__}.commands.{arguments.command}").run(arguments)
    except BrokenPipeError:  # `basicsr list archs | head`
        sys.stdout = None
    except (UserError, OSError) as error:
        if getattr(arguments, "debug", False):
            raise
        print(f"basicsr {arguments.command}: error: {_message(error)}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"\nbasicsr {arguments.command}: {stopped}", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        # on a line of its own, below a progress bar
        print(f"\nbasicsr {arguments.command}: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """Suggests the nearest of several choices."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = nearest(str(value), map(str, action.choices), 0.5)
            hint = f"did you mean '{near}'?" if near else f"choose from {', '.join(map(str, action.choices))}"
            raise argparse.ArgumentError(action, f"'{value}' is not known; {hint}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="basicsr", description="Train and test image restoration networks.")
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


def _message(error: Exception) -> str:
    """An error's message, without the traceback that a data worker puts before its own."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return (
        text.rsplit("UserError: ", 1)[-1].strip() if "UserError: " in text else text.strip().splitlines()[-1]
    )
