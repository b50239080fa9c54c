"""`basicsr train`: train a network from an option file."""

from argparse import Namespace

from ..runtime.output import lenient_output
from ..training.pipeline import train


def run(arguments: Namespace) -> None:
    with lenient_output():
        train(arguments)
