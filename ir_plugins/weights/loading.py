"""Build the network of a weight file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as registration

from ..runtime.errors import UserError
from .files import check_fits, read_checkpoint
from .recognition import recognise

SPARE = 1000  # parameters that a network may make and drop while it is built
LARGEST = 10_000_000  # argument that a file may ask for: a list of so many blocks is made before the first


def load_network(path: str | Path, network_g: Mapping[str, Any] | None = None) -> nn.Module:
    """Build the network of a weight file, with these weights, in eval mode.

    Args:
        path: A .pth or .safetensors file.
        network_g: The option file's block.  Not needed if the file names its network, as files saved in
            training do, nor for published weights of Restormer and AST.

    Raises:
        UserError: The file cannot be read, its network is not recognised, or the weights do not fit.
    """
    # BasicSR is slow to import, and reading and writing files works without it
    from basicsr.utils.registry import ARCH_REGISTRY

    weights, saved, _ = read_checkpoint(path)
    try:
        if network_g is None:
            network_g = saved["network_g"] if saved else recognise(weights)
        arguments = dict(network_g)
        _check_numbers(arguments)
        kind = ARCH_REGISTRY.get(arguments.pop("type"))
        # a file may ask for a network of any size: build it without memory, and compare, first
        with torch.device("meta"), _at_most(2 * len(weights) + SPARE):
            check_fits(path, weights, kind(**arguments))
        net = kind(**arguments)
    except Exception as error:  # a network may raise anything for the arguments that a file gives it
        text = str(error.args[0] if error.args else type(error).__name__).strip().partition("\n")[0]
        raise UserError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from error
    net.load_state_dict(weights)
    return net.eval()


def _check_numbers(value: Any) -> None:
    """Raise ValueError if an argument is too large for any network."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{value} is no size of a network; get another file")


@contextmanager
def _at_most(parameters: int) -> Iterator[None]:
    """A network built inside raises ValueError once it has more parameters than that."""
    made = 0

    def count(module: nn.Module, name: str, value: Any) -> None:
        nonlocal made
        made += 1
        if made > parameters:
            raise ValueError("its network has far more parameters than the file holds; get another file")

    handle = registration.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
