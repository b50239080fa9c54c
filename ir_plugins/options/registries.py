"""The names that an option file can use: BasicSR's registries, and those that BasicSR lacks."""

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
        kind: The class; its constructor takes the optimizer, then the arguments in `train:scheduler`.

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
    """Every registered class and function, by each name that an option file may use.

    BasicSR registers some classes as NAME_basicsr; NAME finds them too, unless another class has that name.

    Args:
        registry: One of BasicSR's.
    """
    named = dict(iter(registry))
    return {name.removesuffix("_basicsr"): item for name, item in named.items()} | named


def registered(registry: Registry, name: Any) -> Any:
    """The class or function of a name; None if the name is unknown.

    Args:
        registry: One of BasicSR's.
        name: As an option file gives it; it may be no text.
    """
    # not registry.get, which prints a line about a suffix whenever a name is missing
    return entries(registry).get(str(name))
