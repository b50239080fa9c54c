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

DesignClass = TypeVar("DesignClass", bound=type[nn.Module])

ATTENTIONS: dict[str, Any] = {}
FEED_FORWARDS: dict[str, Any] = {}


def register_attention(name: str) -> Callable[[DesignClass], DesignClass]:
    """Let `attention: NAME` in an option file name the decorated class.

    The class maps (B, C, H, W) to the same shape in forward(x, shared).  It takes `dim` and `num_heads` as
    keyword arguments, and `shifted` if it has windows; its other arguments have defaults, and option files
    may set them.  If it has a method share(x), this gets the stage's input once, and every block of the stage
    gets the result as `shared`; otherwise `shared` is None.  `blocks.attention.Attention` is a base with all
    that.  The class may have `paper`, `complexity` (texts for `basicsr list attentions`) and `reach`; without
    `reach`, the output at a pixel is assumed to depend on the whole picture.

    Args:
        name: A word other than "none".

    Raises:
        ValueError: If the name is no word or taken, or the class cannot be called as above.
    """
    return _registering("attention", ATTENTIONS, name, ("dim", "num_heads"), {"forward": 2, "share": 1})


def register_ffn(name: str) -> Callable[[DesignClass], DesignClass]:
    """Let `ffn: NAME` in an option file name the decorated class.

    The class maps (B, C, H, W) to the same shape in forward(x).  It takes `dim` and `ratio` as keyword
    arguments; its other arguments have defaults, and option files may set them.  `paper`, `complexity` and
    `reach` as for `register_attention`.

    Args:
        name: A word other than "none".

    Raises:
        ValueError: If the name is no word or taken, or the class cannot be called as above.
    """
    return _registering("ffn", FEED_FORWARDS, name, ("dim", "ratio"), {"forward": 1})


def _registering(
    what: str, registry: dict[str, Any], name: str, keywords: tuple[str, ...], calls: dict[str, int]
) -> Callable[[DesignClass], DesignClass]:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name) or name == "none":
        raise ValueError(f"{what} {name!r}: the name must be a word of letters, digits and _, and not none")

    def register(design: DesignClass) -> DesignClass:
        if fault := _fault(design, keywords, calls):
            raise ValueError(f"{what} {name!r}: {fault}")
        known = registry.get(name)
        if known is not None and _source(known) != _source(design):
            owner = f"{known.__module__}.{known.__qualname__}"
            raise ValueError(f"{what} {name!r}: the name is taken by {owner}; choose another")
        registry[name] = design
        return design

    return register


def _fault(design: Any, keywords: tuple[str, ...], calls: dict[str, int]) -> str | None:
    """Why a net could not use a class; None if it can.

    Args:
        design: The class.
        keywords: The arguments that the net passes.
        calls: Each method that the net calls, if the class has it, and the number of arguments.
    """
    if not (isinstance(design, type) and issubclass(design, nn.Module)):
        return f"{design!r} must be a class that derives from torch.nn.Module"
    parameters = inspect.signature(design).parameters
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    allowed = [key for key, p in parameters.items() if p.kind in by_keyword]
    if missing := [key for key in keywords if key not in allowed]:
        listed = " and ".join(missing)
        return f"{design.__name__} must take {listed} by keyword; add {listed} to its __init__"
    needed = [
        key
        for key, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and key not in (*keywords, "shifted")
    ]
    if needed:
        return f"{design.__name__} needs {' and '.join(needed)}, which no net gives it; add a default"
    if design.forward is nn.Module.forward:
        return f"{design.__name__} has no forward"
    for method, count in calls.items():
        function = getattr(design, method, None)
        if function is not None and not _callable_with(function, count):
            arguments = ", ".join(["self", "x", "shared"][: 1 + count])
            return f"{design.__name__}.{method} must be callable as {method}({arguments})"
    return None


def _callable_with(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * (1 + count))  # and self
    except TypeError:
        return False
    return True


def _source(design: type) -> tuple[str, str]:
    """What identifies a class, even if its file is imported twice under two module names."""
    try:
        return design.__qualname__, inspect.getsourcefile(design) or design.__module__
    except (TypeError, OSError):  # a class without a file, as in a notebook
        return design.__qualname__, design.__module__
