"""`basicsr train`: train a network from an option file."""

from argparse import Namespace

from ..training.pipeline import train


def run(arguments: Namespace) -> None:
    train(arguments)
