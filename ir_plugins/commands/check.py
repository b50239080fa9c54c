"""`basicsr check`: check an option file, without its data and weights."""

from argparse import Namespace

from ..checks import option_file
from ..options.reading import Options, read_options
from ..options.signatures import Keys
from ..runtime.plugins import load_plugins
from ..weights.fetching import Absent


def run(arguments: Namespace) -> None:
    load_plugins(arguments.plugin)
    options = read_options(arguments.opt, arguments.force_yml)
    for keys, absent in _check(options, arguments):
        text = f"a run fetches {absent.url}, since {absent.path} is not there"
        print(f"{arguments.opt}: {':'.join(keys)}: {text}; without a network, {absent.way_out}")
    print(f"{arguments.opt}: ok (data and weights not checked)")


def checked_options(arguments: Namespace) -> Options:
    """Import the plugins, then read and check an option file.

    Args:
        arguments: opt, force_yml and plugin, as cli.py parses them.

    Returns:
        The options, with overrides.

    Raises:
        UserError: One line per problem.
    """
    load_plugins(arguments.plugin)
    options = read_options(arguments.opt, arguments.force_yml)
    _check(options, arguments)
    return options


def _check(options: Options, arguments: Namespace) -> list[tuple[Keys, Absent]]:
    is_train = "train" in options
    return option_file.check(options, arguments.opt, is_train=is_train, force=arguments.force_yml)
