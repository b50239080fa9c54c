"""`basicsr lmdb`: pack a folder of images into an LMDB."""

from argparse import Namespace

from ..pictures.lmdb import write_lmdb


def run(arguments: Namespace) -> None:
    summary = write_lmdb(arguments.input, arguments.output, codec=arguments.codec, workers=arguments.workers)
    print(f"{arguments.output}: {summary}")
