"""What can be named in an option file: BasicSR's registries, and those that it lacks."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from basicsr.models import lr_scheduler
from basicsr.utils.registry import Registry

SCHEDULERS: dict[str, Callable] = {
    "MultiStepLR": lr_scheduler.MultiStepRestartLR,  # BasicSR gives both names to one class
    "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
    "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
}


def register_scheduler(kind: type) -> type:
    """Class decorator: option files may name this learning rate schedule.

    Args:
        kind: Its constructor takes the optimizer first, then what stands under `train:scheduler`.

    Raises:
        ValueError: Another schedule has the name.
    """
    if SCHEDULERS.setdefault(kind.__name__, kind) is not kind:
        raise ValueError(f"a schedule named {kind.__name__} is already registered")
    return kind


def optimizers() -> dict[str, Callable]:
    """The optimizers of torch.optim by name."""
    found = {name: item for name, item in vars(torch.optim).items() if inspect.isclass(item)}
    return {
        name: c for name, c in found.items() if issubclass(c, torch.optim.Optimizer) and name != "Optimizer"
    }


def entries(registry: Registry) -> dict[str, Callable]:
    """What is registered, by every name that an option file may give it.

    BasicSR registers some classes as NAME_basicsr, and finds them by NAME unless that is somebody else's.
    """
    named = dict(iter(registry))
    return {name.removesuffix("_basicsr"): item for name, item in named.items()} | named


def registered(registry: Registry, name: Any) -> Any:
    """What is registered under that name, None where nothing is."""
    # not registry.get, which prints a line about a suffix whenever a name is missing
    return entries(registry).get(str(name))
