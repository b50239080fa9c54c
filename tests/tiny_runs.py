"""The files of a tiny run, and a run that must fail."""

from pathlib import Path

import torch

from ir_plugins.cli import main


def checkpoint(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/models/net_g_{iteration}.pth", weights_only=True)


def state(iteration, name="tiny"):
    return torch.load(f"experiments/{name}/training_states/{iteration}.state", weights_only=True)


def tree(folder="."):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def fails(capsys, *arguments):
    before = tree()
    assert main(list(arguments)) == 2
    assert tree() == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    return error
