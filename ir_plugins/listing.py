"""`basicsr list`: what can be named in an option file."""

import inspect
import textwrap
from collections.abc import Callable

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

from .blocks import ATTENTIONS, FEED_FORWARDS
from .errors import UserError
from .schema import SCHEDULERS, entries, optimizers

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


def table(kind: str) -> str:
    """One line per name: the name, whose it is, and the first sentence of its documentation."""
    found = KINDS[kind]()
    width = max(len(name) for name in found)
    return "\n".join(
        f"{name:{width}}  {_origin(item):10}  {_summary(item)}" for name, item in sorted(found.items())
    )


def describe(kind: str, name: str) -> str:
    """One item's arguments, a line each, and its documentation.  Raises UserError where there is no such
    name.
    """
    item = KINDS[kind]().get(name)
    if item is None:
        raise UserError(f"{kind} has no '{name}'; `basicsr list {kind}` names them")
    arguments = [str(p) for p in inspect.signature(item).parameters.values()]
    return "\n".join(
        [name, *(f"  {argument}" for argument in arguments), "", inspect.getdoc(item) or ""]
    ).rstrip()


def _origin(item: Callable) -> str:
    return item.__module__.split(".")[0]


def _summary(item: Callable) -> str:
    paragraph = (inspect.getdoc(item) or "").partition("\n\n")[0]
    return textwrap.shorten(paragraph, 100, placeholder=" ...")
