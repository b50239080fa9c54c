"""Networks that are built only to see whether they can be."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as registration

from basicsr.utils.registry import ARCH_REGISTRY

from ..options.problems import Problem, reason
from ..options.reading import Options
from ..options.registries import entries
from ..options.signatures import Keys

MOST = 20_000_000_000  # weights and buffers: 80 GB of float32, before the first gradient
MOST_IN_MEMORY = 1_000_000_000  # where a network has to be built for real to be seen to fail
MOST_LAYERS = 20_000


def build_on_meta(network: Options) -> nn.Module | None:
    """The network without memory; None where a foreign net computes with numbers while it is built."""
    try:
        with torch.device("meta"), _at_most(MOST):
            return _built(network)
    except (NotImplementedError, RuntimeError):
        return None


def building_problem(keys: Keys, network: Options) -> Problem | None:
    """Why the network of the block at `keys` cannot be built, at the key that is to blame where that is said;
    None where it can.
    """
    foreign = not entries(ARCH_REGISTRY)[network["type"]].__module__.startswith("ir_plugins.")
    try:
        if build_on_meta(network) is None:
            with torch.device("cpu" if foreign else "meta"), _at_most(MOST_IN_MEMORY if foreign else MOST):
                _built(network)
    except Exception as error:  # whatever a foreign class makes of its arguments
        meant = isinstance(error, ValueError | AssertionError)
        text = f"{'' if meant else 'cannot be built: '}{reason(error)}"
        blamed = re.match(r"(\w+)(?:=|:|,)", text)
        return Problem((*keys, blamed[1]) if blamed and blamed[1] in network else keys, text)
    return None


def _built(network: Options) -> nn.Module:
    arguments = {key: value for key, value in network.items() if key != "type"}
    return entries(ARCH_REGISTRY)[network["type"]](**arguments)


@contextmanager
def _at_most(numbers: int) -> Iterator[None]:
    """A network built inside raises ValueError once it holds more numbers than that."""
    held = layers = 0

    def count(module: nn.Module, name: str, value: Any) -> None:
        nonlocal held
        held += value.numel() if isinstance(value, torch.Tensor) else 0
        if held > numbers:
            raise ValueError(f"holds more than {numbers:,} numbers; make the network smaller")

    def count_layers(module: nn.Module, name: str, value: Any) -> None:
        nonlocal layers
        layers += 1
        if layers > MOST_LAYERS:
            raise ValueError(f"has more than {MOST_LAYERS:,} layers; make the network smaller")

    handles = [
        registration.register_module_parameter_registration_hook(count),
        registration.register_module_buffer_registration_hook(count),
        registration.register_module_module_registration_hook(count_layers),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
