"""`attention:` and `ffn:` in an option file: which design each stage of a net takes, with which arguments."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from ..options.signatures import fits, kind_of
from ..runtime.errors import nearest
from .registry import ATTENTIONS, FEED_FORWARDS

Design = str | Mapping[str, Any] | None  # a name, {type: name, argument: value, ...}, or ~: the paper's
Designs = Design | Sequence[Design]  # for the whole net, or one per stage
Published = Mapping[str, Any] | None  # a stage's design as published, {type: ..., ...}; None: it has none

Maker = Callable[..., nn.Module]
FROM_THE_NET = ("dim", "shifted")  # never in an option file


def attentions(requested: Designs, published: Sequence[Published]) -> list[Maker | None]:
    """How to make the attention of each stage.

    Args:
        requested: As in the option file; "none" switches attention off.  One design for the whole net leaves
            stages without attention as they are published.
        published: The published design of each stage.

    Returns:
        For each stage a function that makes its attention from dim, num_heads and shifted, or None if the
        stage has no attention.

    Raises:
        ValueError: If a name or an argument is unknown, or an argument is of the wrong kind.
    """
    designs = _one_per_stage("attention", requested, published)
    if isinstance(requested, str | Mapping):
        designs = [None if paper is None else requested for paper in published]
    return [
        None
        if design == "none" or (design is None and paper is None)
        else _maker(where, ATTENTIONS, design, paper)
        for where, design, paper in zip(
            _places("attention", requested, published), designs, published, strict=True
        )
    ]


def feed_forwards(requested: Designs, published: Sequence[Mapping[str, Any]]) -> list[Maker]:
    """How to make the feed-forward of each stage.

    Args:
        requested: As in the option file.
        published: The published design of each stage.

    Returns:
        For each stage a function that makes its feed-forward from dim and ratio.

    Raises:
        ValueError: As `attentions`.
    """
    designs = _one_per_stage("ffn", requested, published)
    return [
        _maker(where, FEED_FORWARDS, design, paper)
        for where, design, paper in zip(_places("ffn", requested, published), designs, published, strict=True)
    ]


def _is_list(requested: Designs) -> bool:
    return isinstance(requested, Sequence) and not isinstance(requested, str)


def _one_per_stage(key: str, requested: Any, published: Sequence[Published]) -> Sequence[Design]:
    if not _is_list(requested):
        return [requested] * len(published)
    if len(requested) != len(published):
        raise ValueError(
            f"{key}: {len(requested)} designs for {len(published)} stages; give one per stage or one for all"
        )
    return requested


def _places(key: str, requested: Designs, published: Sequence[Published]) -> list[str]:
    """How messages name the design of each stage."""
    return [f"{key}, stage {stage}" if _is_list(requested) else key for stage in range(1, len(published) + 1)]


def _maker(where: str, registry: Mapping[str, Maker], design: Any, published: Published) -> Maker:
    if design is None and published is not None:
        return functools.partial(_make, registry[published["type"]], _without(published, "type"), "")
    kind, arguments = _checked(where, registry, design)
    if published is not None and published["type"] == kind:
        # the net's own arguments are for its own design only, and unshifted windows only for their published
        # size
        dropped = ("type", "shifted") if "window_size" in arguments else ("type",)
        arguments = _without(published, *dropped) | arguments
    return functools.partial(_make, registry[kind], arguments, f"{where}: {kind}: ")


def _make(kind: Maker, arguments: dict[str, Any], prefix: str, **from_the_net: Any) -> nn.Module:
    """Make a design from its arguments, and from the facts of the net that it takes."""
    wanted = inspect.signature(kind).parameters
    facts = {key: value for key, value in from_the_net.items() if key in wanted}
    try:
        return kind(**facts | arguments)
    except ValueError as error:
        raise ValueError(f"{prefix}{error}") from error


def _without(design: Mapping[str, Any], *dropped: str) -> dict[str, Any]:
    return {key: value for key, value in design.items() if key not in dropped}


def _checked(where: str, registry: Mapping[str, Maker], design: Any) -> tuple[str, dict[str, Any]]:
    """The name of a requested design, and its arguments."""
    block = {"type": design} if isinstance(design, str) else design
    names = sorted(registry)
    if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
        raise ValueError(
            f"{where}: {block!r} must be a name or {{type: name, ...}}; choose {', '.join(names)}"
        )
    kind, arguments = block["type"], _without(block, "type")
    if kind not in registry:
        raise ValueError(f"{where}: '{kind}' is unknown{_nearest(kind, names)}; choose {', '.join(names)}")
    parameters = inspect.signature(registry[kind]).parameters
    known = [key for key in parameters if key not in FROM_THE_NET]
    for key, value in arguments.items():
        if key not in known:
            raise ValueError(
                f"{where}: {kind} takes no '{key}'{_nearest(key, known)}; it takes {', '.join(known)}"
            )
        annotation = parameters[key].annotation
        if not fits(value, annotation):
            raise ValueError(f"{where}: {kind}: {key} is {value!r}; expected {kind_of(annotation)}")
    return kind, arguments


def _nearest(word: Any, known: Iterable[str]) -> str:
    close = nearest(str(word), known)
    return f" (did you mean {close}?)" if close else ""
