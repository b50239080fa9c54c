"""`basicsr check`: check an option file, without its data and weights."""

from argparse import Namespace

from ..checks import option_file
from ..options.reading import Options, read_options
from ..runtime.plugins import load_plugins


def run(arguments: Namespace) -> None:
    checked_options(arguments)
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
    option_file.check(options, arguments.opt, is_train="train" in options, force=arguments.force_yml)
    return options
