"""`basicsr train`: train as an option file says."""

from argparse import Namespace

from ..training.pipeline import train


def run(arguments: Namespace) -> None:
    train(arguments)
