"""The command `basicsr`: parses arguments and calls one function per sub-command."""

import argparse
import sys
from collections.abc import Sequence

from .checks import option_file
from .commands.list import KINDS, describe, table
from .commands.profile import profile
from .commands.test import test
from .options.reading import Options, read_options
from .pictures.lmdb import CODECS, write_lmdb
from .runtime.errors import Stopped, UserError
from .training.pipeline import train


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr ARGV`.

    Exit status: 0 on success, 2 for the user's mistakes, 130 after Ctrl-C and 143 after SIGTERM.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except UserError as error:
        if getattr(arguments, "debug", False):
            raise
        print(f"basicsr {arguments.command}: error: {_message(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `basicsr list archs | head`
        sys.stdout = None
    except OSError as error:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="basicsr", description="Train and test image restoration networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    for name, run, text in (
        ("train", train, "train as an option file says; writes experiments/NAME and tb_logger/NAME"),
        ("test", test, "restore and measure test sets; writes results/NAME"),
    ):
        sub = command(name, run, text)
        _add_option_file(sub)
        sub.add_argument(
            "--launcher", choices=("none", "pytorch", "slurm"), default="none", help="job launcher"
        )
        sub.add_argument(
            "--auto_resume", action="store_true", help="go on from the newest training state, if any"
        )
        sub.add_argument("--debug", action="store_true", help="log, save and validate often; show tracebacks")
        # torch.distributed.launch passes it in either spelling; the ranks come from the environment
        sub.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)

    sub = command("lmdb", _lmdb, "pack a folder of images into an LMDB that BasicSR's datasets read")
    sub.add_argument("--input", required=True, metavar="DIR", help="folder of images")
    sub.add_argument("--output", required=True, metavar="DIR.lmdb", help="database to write")
    sub.add_argument(
        "--codec",
        choices=CODECS,
        default="png",
        help="png (default): small, and BasicSR without this plugin reads it too; raw: pixels as they are, a "
        "training crop reads only its rows and decodes nothing, for about twice the disk space",
    )
    sub.add_argument("--workers", type=int, metavar="N", help="default: one per CPU core")

    _add_option_file(command("check", _check, "validate an option file without touching the disk"))

    sub = command("list", _list, "what can be named in an option file")
    sub.add_argument("kind", choices=tuple(KINDS))
    sub.add_argument("name", nargs="?", help="tell this one's arguments and documentation")

    sub = command("profile", _profile, "parameters, MACs, latency and peak memory of network_g")
    _add_option_file(sub)
    sub.add_argument(
        "--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="input, in pixels"
    )
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


def _lmdb(arguments: argparse.Namespace) -> None:
    summary = write_lmdb(arguments.input, arguments.output, codec=arguments.codec, workers=arguments.workers)
    print(f"{arguments.output}: {summary}")


def _check(arguments: argparse.Namespace) -> None:
    _checked_options(arguments)
    print(f"{arguments.opt}: ok (data and weights are not looked at)")


def _list(arguments: argparse.Namespace) -> None:
    print(describe(arguments.kind, arguments.name) if arguments.name else table(arguments.kind))


def _profile(arguments: argparse.Namespace) -> None:
    print(profile(_checked_options(arguments), tuple(arguments.size)))


def _checked_options(arguments: argparse.Namespace) -> Options:
    options = read_options(arguments.opt, arguments.force_yml)
    option_file.check(options, arguments.opt, is_train="train" in options, force=arguments.force_yml)
    return options


def _message(error: Exception) -> str:
    """The message proper: an error that comes out of a data worker carries the worker's whole traceback."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return (
        text.rsplit("UserError: ", 1)[-1].strip() if "UserError: " in text else text.strip().splitlines()[-1]
    )
