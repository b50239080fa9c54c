"""`attention:` and `ffn:` in an option file: which design each stage of a net takes, with which arguments."""

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from ..options.signatures import fits, kind_of
from .registry import ATTENTIONS, FEED_FORWARDS

Design = str | Mapping[str, Any] | None  # a name, {type: name, argument: value, ...}, or ~: the paper's
Designs = Design | Sequence[Design]  # for the whole net, or one per stage
Own = Mapping[str, Any] | None  # a stage's design as published, with its arguments; None: has none

Maker = Callable[..., nn.Module]
FROM_THE_NET = ("dim", "shifted")  # never in an option file


def attentions(given: Designs, own: Sequence[Own]) -> list[Maker | None]:
    """For each stage a function that makes its attention from dim, num_heads and shifted; None: no attention.

    given: as in the option file; "none" switches attention off.  One design for the whole net leaves stages
    without attention as they are published.  Raises ValueError for unknown names and arguments.
    """
    chosen = _one_per_stage("attention", given, own)
    if isinstance(given, str | Mapping):
        chosen = [None if paper is None else design for design, paper in zip(chosen, own, strict=True)]
    return _makers("attention", ATTENTIONS, given, chosen, own)


def feed_forwards(given: Designs, own: Sequence[Own]) -> list[Maker]:
    """For each stage a function that makes its feed-forward from dim and ratio.  Raises as `attentions`."""
    chosen = _one_per_stage("ffn", given, own)
    makers = _makers("ffn", FEED_FORWARDS, given, chosen, own)
    # none is None: every stage has a feed-forward of its own
    return [maker for maker in makers if maker is not None]


def _one_per_stage(name: str, given: Designs, own: Sequence[Own]) -> Sequence[Design]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        return [given] * len(own)
    if len(given) != len(own):
        raise ValueError(
            f"{name}: {len(given)} designs for {len(own)} stages; give one per stage or one for all"
        )
    return given


def _makers(
    name: str, registry: Mapping[str, Maker], given: Designs, chosen: Sequence[Design], own: Sequence[Own]
) -> list[Maker | None]:
    listed = chosen is given
    return [
        _maker(f"{name}, stage {stage}" if listed else name, registry, design, paper)
        for stage, (design, paper) in enumerate(zip(chosen, own, strict=True), 1)
    ]


def _maker(name: str, registry: Mapping[str, Maker], design: Design, own: Own) -> Maker | None:
    if design is None:
        design = own
    if design is None or (design == "none" and registry is ATTENTIONS):
        return None
    if isinstance(design, str):
        design = {"type": design}
    if not isinstance(design, Mapping) or not isinstance(design.get("type"), str):
        raise ValueError(f"{name}: {design!r} must be a name or {{type: name, ...}}; {_names(registry)}")
    kind = design["type"]
    if kind not in registry:
        raise ValueError(f"{name}: '{kind}' is unknown{_nearest(kind, registry)}; {_names(registry)}")
    arguments = {key: value for key, value in design.items() if key != "type"}
    parameters = inspect.signature(registry[kind]).parameters
    where = ""
    if design is not own:
        where = f"{name}: {kind}: "
        _check(f"{name}: {kind}", arguments, parameters)
        # what the net says about its own design holds for it alone
        published = own if own is not None and own["type"] == kind else {}
        # a net that leaves its windows unshifted says so of their published size
        dropped = ("type", "shifted") if "window_size" in arguments else ("type",)
        arguments = {key: value for key, value in published.items() if key not in dropped} | arguments
    return functools.partial(_make, registry[kind], frozenset(parameters), arguments, where)


def _make(
    kind: Maker, taken: frozenset[str], arguments: dict[str, Any], where: str, **from_the_net: Any
) -> nn.Module:
    try:
        return kind(**{key: value for key, value in from_the_net.items() if key in taken} | arguments)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _check(what: str, arguments: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    known = [key for key in parameters if key not in FROM_THE_NET]
    for key, value in arguments.items():
        if key not in known:
            raise ValueError(f"{what} takes no '{key}'{_nearest(key, known)}; it takes {', '.join(known)}")
        annotation = parameters[key].annotation
        if not fits(value, annotation):
            raise ValueError(f"{what}: {key} is {value!r}; expected {kind_of(annotation)}")


def _nearest(word: str, known) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _names(registry: Mapping[str, Maker]) -> str:
    return f"choose {', '.join(registry)}"
