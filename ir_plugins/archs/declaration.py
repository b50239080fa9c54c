"""What a network says about itself: scale, channels, sizes, values, and how far a pixel's answer looks.

A class says it in an attribute `declares`, in terms of the arguments of its constructor.  BasicSR's classes,
which say nothing, stand in the table BASICSR.  A class from elsewhere that says nothing is taken for one that
may look at the whole picture, takes any size and works in [0, 1]; its scale is found by trying.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..blocks.reach import PICTURE, Reach

Arguments = Mapping[str, Any]
Said = str | int | Callable[[Arguments], Any] | None  # an argument's name, a number, or what both come to


@dataclass(frozen=True, kw_only=True)
class Declares:
    """What a network class says about its instances.

    Args:
        scale: How many times the output is larger than the input; None: unknown.
        in_channels: Channels of the input; None: unknown.
        out_channels: Channels of the output; None: unknown.
        size_multiple: The caller pads the input's sides to multiples of it; 1 for nets that pad themselves.
        value_range: Least and greatest value of a picture that the net works on.
        reach: How far the answer at a pixel looks, or a function of the built net that tells.
    """

    scale: Said = None
    in_channels: Said = None
    out_channels: Said = None
    size_multiple: Said = 1
    value_range: tuple[float, float] = (0.0, 1.0)
    reach: Reach | Callable[[Any], Reach] = PICTURE


class Facts(NamedTuple):
    """A declaration for certain arguments.

    called: under which argument a fact was given, for messages: {"scale": "upscale"}.
    """

    scale: int | None
    in_channels: int | None
    out_channels: int | None
    size_multiple: int
    value_range: tuple[float, float]
    called: dict[str, str]


def facts(kind: Any, arguments: Arguments) -> Facts:
    """What network class `kind` says about a net that is built from these arguments, defaults filled in."""
    said = declaration(kind)
    given = defaults(kind) | dict(arguments)
    values = {
        name: _resolved(getattr(said, name), given)
        for name in ("scale", "in_channels", "out_channels", "size_multiple")
    }
    called = {name: key for name in values if isinstance(key := getattr(said, name), str)}
    return Facts(
        **values | {"size_multiple": values["size_multiple"] or 1},
        value_range=said.value_range,
        called=called,
    )


def declaration(kind: Any) -> Declares:
    """What a network class says about its instances; of one that says nothing, what is safe."""
    return getattr(kind, "declares", None) or BASICSR.get(_basicsr_name(kind)) or Declares()


def reach(net: Any) -> Reach:
    """How far the answer of a built net looks at a pixel."""
    said = declaration(type(net)).reach
    return said if isinstance(said, Reach) else said(net)


def defaults(kind: Any) -> dict[str, Any]:
    """The default values of a class's arguments."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _resolved(said: Said, arguments: Arguments) -> Any:
    if isinstance(said, str):
        return arguments.get(said)
    return said(arguments) if callable(said) else said


def _basicsr_name(kind: Any) -> str:
    return kind.__name__ if kind.__module__.partition(".")[0] == "basicsr" else ""


def _swinir_scale(arguments: Arguments) -> int:
    return arguments["upscale"] if arguments["upsampler"] else 1


_COLOURS = {"in_channels": "num_in_ch", "out_channels": "num_out_ch"}

# of the nets that map one picture to one picture; the others (video, faces, discriminators) stay unknown
BASICSR: dict[str, Declares] = {
    "EDSR": Declares(scale="upscale", **_COLOURS),
    "RCAN": Declares(scale="upscale", **_COLOURS),
    "MSRResNet": Declares(scale="upscale", **_COLOURS),
    "SRVGGNetCompact": Declares(scale="upscale", **_COLOURS),
    "ECBSR": Declares(scale="scale", **_COLOURS),
    # below scale 4 it works on the input with pixels unshuffled
    "RRDBNet": Declares(scale="scale", size_multiple=lambda a: {1: 4, 2: 2}.get(a["scale"], 1), **_COLOURS),
    "RIDNet": Declares(scale=1, in_channels="in_channels", out_channels="out_channels"),
    "SwinIR": Declares(
        scale=_swinir_scale, in_channels="in_chans", out_channels="in_chans", size_multiple="window_size"
    ),
}
