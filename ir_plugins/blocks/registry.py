"""Attention and feed-forward designs by the names that option files use; anybody may add one.

    @register_attention("row")
    class RowAttention(Attention):
        ...

B batch, C channels, H x W picture
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

Design = TypeVar("Design", bound=type[nn.Module])

ATTENTIONS: dict[str, Any] = {}
FEED_FORWARDS: dict[str, Any] = {}


def register_attention(name: str) -> Callable[[Design], Design]:
    """Let `attention: NAME` in an option file name the decorated class.

    The class maps (B, C, H, W) to the same shape in forward(x, shared), takes `dim` and `num_heads` (and
    `shifted`, if it wants to know) as keywords, and may share work between the blocks of a stage; deriving
    from `blocks.attention.Attention` gives all of that.

    Raises:
        ValueError: Where the name is taken, or no word, or the class takes no `dim` and `num_heads`.
    """
    return _registering("attention", ATTENTIONS, name, ("dim", "num_heads"))


def register_ffn(name: str) -> Callable[[Design], Design]:
    """Let `ffn: NAME` in an option file name the decorated class.

    The class maps (B, C, H, W) to the same shape in forward(x), and takes `dim` and `ratio` as keywords.

    Raises:
        ValueError: Where the name is taken, or no word, or the class takes no `dim` and `ratio`.
    """
    return _registering("ffn", FEED_FORWARDS, name, ("dim", "ratio"))


def _registering(
    what: str, registry: dict[str, Any], name: str, needed: tuple[str, ...]
) -> Callable[[Design], Design]:
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name == "none":
        raise ValueError(f"{what} {name!r} must be a word other than none")

    def register(design: Design) -> Design:
        known = registry.get(name)
        # a file that is imported twice, under two names, registers twice what is one class
        if known is not None and (known.__qualname__, inspect.getsourcefile(known)) != (
            design.__qualname__,
            inspect.getsourcefile(design),
        ):
            owner = f"{known.__module__}.{known.__qualname__}"
            raise ValueError(f"{what} {name!r} is taken by {owner}; take another name")
        if not (isinstance(design, type) and issubclass(design, nn.Module)):
            raise ValueError(f"{what} {name!r}: {design!r} is no class of torch.nn.Module")
        if missing := [key for key in needed if key not in inspect.signature(design).parameters]:
            raise ValueError(f"{what} {name!r}: {design.__name__} takes no {' and no '.join(missing)}")
        registry[name] = design
        return design

    return register
