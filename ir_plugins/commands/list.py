"""`basicsr list`: what can be named in an option file."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

from ..blocks import ATTENTIONS, FEED_FORWARDS
from ..blocks.designs import FROM_THE_NET
from ..options.registries import SCHEDULERS, entries, optimizers
from ..options.signatures import kind_of
from ..runtime.errors import UserError

KINDS: dict[str, Callable[[], dict[str, Callable]]] = {
    "archs": lambda: entries(ARCH_REGISTRY),
    "attentions": lambda: ATTENTIONS,
    "ffns": lambda: FEED_FORWARDS,
    "losses": lambda: entries(LOSS_REGISTRY),
    "datasets": lambda: entries(DATASET_REGISTRY),
    "models": lambda: entries(MODEL_REGISTRY),
    "metrics": lambda: entries(METRIC_REGISTRY),
    "schedulers": lambda: SCHEDULERS,
    "optimizers": optimizers,
}
DESIGNS = ("attentions", "ffns")


def table(kind: str) -> str:
    """Per name: whose it is and the first sentence of its documentation; of a design its paper, complexity
    and arguments.
    """
    found = sorted(KINDS[kind]().items())
    width = max(len(name) for name, _ in found)
    if kind in DESIGNS:
        return "\n".join(_design(name, item, width) for name, item in found)
    return "\n".join(f"{name:{width}}  {_origin(item):10}  {_summary(item)}" for name, item in found)


def _design(name: str, design: Any, width: int) -> str:
    parameters = inspect.signature(design).parameters.values()
    arguments = [str(p.replace(annotation=p.empty)) for p in parameters if p.name not in FROM_THE_NET]
    listed = textwrap.wrap(", ".join(arguments), 100 - width)
    first = f"{name:{width}}  {_told(design, 'paper'):27}  {_told(design, 'complexity')}".rstrip()
    return f"\n{' ' * (width + 2)}".join([first, *listed])


def _told(design: Any, what: str) -> str:
    return getattr(design, what, f"(no {what})")


def describe(kind: str, name: str) -> str:
    """One item's arguments, a line each, and its documentation.  Raises UserError where there is no such
    name.
    """
    item = KINDS[kind]().get(name)
    if item is None:
        raise UserError(f"{kind} has no '{name}'; `basicsr list {kind}` names them")
    hidden = FROM_THE_NET if kind in DESIGNS else ()
    arguments = [str(p) for p in inspect.signature(item).parameters.values() if p.name not in hidden]
    if keys := getattr(item, "option_keys", None) if kind == "datasets" else None:
        arguments = [f"{key}: {kind_of(told.kind)}; {told.text}" for key, told in keys.items()]
    facts = [f"{_told(item, 'paper')}; {_told(item, 'complexity')}", ""] if kind in DESIGNS else []
    return "\n".join(
        [name, *(f"  {argument}" for argument in arguments), "", *facts, inspect.getdoc(item) or ""]
    ).rstrip()


def _origin(item: Callable) -> str:
    return item.__module__.split(".")[0]


def _summary(item: Callable) -> str:
    paragraph = (inspect.getdoc(item) or "").partition("\n\n")[0]
    return textwrap.shorten(paragraph, 100, placeholder=" ...")
