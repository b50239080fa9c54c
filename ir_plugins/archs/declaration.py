"""What a network declares: scale, channels, sizes, range of values, and reach.

A class declares them in an attribute `declares`, in terms of its constructor's arguments.  The table BASICSR
declares them for BasicSR's classes.  For any other class safe assumptions hold: its output depends on the
whole picture, it takes any size and works in [0, 1].  Its scale and channels are unknown until
`basicsr check` tries it.

    class Lantern(nn.Module):
        declares = Declares(scale="upscale", in_channels="in_chans", out_channels="in_chans", size_multiple=8)
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from ..blocks.reach import PICTURE, Reach

Arguments = Mapping[str, Any]
Said = str | int | Callable[[Arguments], Any] | None  # an argument's name, a number, a function of arguments


@dataclass(frozen=True, kw_only=True)
class Declares:
    """What a network class declares.

    Args:
        scale: How many times the output is larger than the input; None: unknown.
        in_channels: Channels of the input; None: unknown.
        out_channels: Channels of the output; None: unknown.
        size_multiple: The caller pads the input's sides to multiples of it; 1 for nets that pad themselves.
        value_range: Least and greatest value of a picture that the net works on.
        reach: How much of the input the output at a pixel depends on, or a function of the built net.
        called: For facts that are functions of the arguments, the argument that decides most, for messages.
    """

    scale: Said = None
    in_channels: Said = None
    out_channels: Said = None
    size_multiple: Said = 1
    value_range: tuple[float, float] = (0.0, 1.0)
    reach: Reach | Callable[[Any], Reach] = PICTURE
    called: Mapping[str, str] = field(default_factory=dict)


class Facts(NamedTuple):
    """A declaration for certain arguments.

    Args:
        scale: How many times the output is larger than the input; None: unknown.
        in_channels: Channels of the input; None: unknown.
        out_channels: Channels of the output; None: unknown.
        size_multiple: The caller pads the input's sides to multiples of it.
        value_range: Least and greatest value of a picture.
        called: The argument that gives a fact, for messages: {"scale": "upscale"}.
    """

    scale: int | None
    in_channels: int | None
    out_channels: int | None
    size_multiple: int
    value_range: tuple[float, float]
    called: dict[str, str]


COUNTED = ("scale", "in_channels", "out_channels", "size_multiple")


def facts(kind: Any, arguments: Arguments) -> Facts:
    """What a network class declares, for certain arguments.

    Args:
        kind: The class, as it is registered.
        arguments: Its arguments; missing ones have their default values.  A key `type` is ignored.

    Raises:
        ValueError: Where the class declares a fact by a name that is none of its arguments.
    """
    said = declaration(kind)
    given = defaults(kind) | dict(arguments)
    if "declares" in vars(kind):  # a subclass may have other arguments than its base
        _check_names(kind, said)
    values = {name: _counted(kind, name, getattr(said, name), given) for name in COUNTED}
    called = {name: key for name in COUNTED if isinstance(key := getattr(said, name), str)}
    return Facts(
        **values | {"size_multiple": values["size_multiple"] or 1},
        value_range=said.value_range,
        called=called | dict(said.called),
    )


def _counted(kind: Any, fact: str, said: Said, given: Arguments) -> int | None:
    """What a declaration comes to; a wrong value of an argument is no fault of the declaration."""
    try:
        value = _resolved(said, given)
    except Exception as error:  # whatever a function from outside makes of the arguments
        raise ValueError(f"{kind.__name__} declares {fact} by a function that fails: {error!r}") from error
    if isinstance(said, str) and value is not None and not _is_count(value):
        return None
    if value is not None and not _is_count(value):
        raise ValueError(f"{kind.__name__} declares {fact}={value!r}; expected a whole number from 1 on")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_names(kind: Any, said: Declares) -> None:
    parameters = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for fact in COUNTED:
        name = getattr(said, fact)
        if isinstance(name, str) and name not in parameters:
            raise ValueError(
                f"{kind.__name__} declares {fact}={name!r}, which is no argument of it; "
                f"its arguments are {', '.join(parameters)}"
            )


def declaration(kind: Any) -> Declares:
    """What a network class declares; safe assumptions if it declares nothing."""
    said = getattr(kind, "declares", None)
    return said if isinstance(said, Declares) else BASICSR.get(_basicsr_name(kind), UNKNOWN)


def is_declared(kind: Any) -> bool:
    """Whether the class declares something, or the table BASICSR does."""
    return declaration(kind) is not UNKNOWN


def reach(net: Any) -> Reach:
    """How much of the input the output of a built net at a pixel depends on."""
    said = declaration(type(net)).reach
    return said if isinstance(said, Reach) else said(net)


def defaults(kind: Any) -> dict[str, Any]:
    """The default values of a class's arguments."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _resolved(said: Said, arguments: Arguments) -> Any:
    if isinstance(said, str):
        return arguments.get(said)
    try:
        return said(arguments) if callable(said) else said
    except (TypeError, ValueError, ArithmeticError, LookupError):  # arguments that the class itself refuses
        return None


def _basicsr_name(kind: Any) -> str:
    return kind.__name__ if kind.__module__.partition(".")[0] == "basicsr" else ""


def _convolutions(net: nn.Module) -> Reach:
    """An upper bound: all convolutions follow each other, at the input's size or a larger one."""
    steps = [max(m.kernel_size) // 2 * max(m.dilation) for m in net.modules() if isinstance(m, nn.Conv2d)]
    return Reach("halo", sum(steps) + 1)  # some add a bilinear enlargement, which reads the next pixel


def _rrdbnet_reach(net: nn.Module) -> Reach:
    return Reach("halo", _convolutions(net).pixels * _rrdbnet_multiple({"scale": getattr(net, "scale", 4)}))


def _rrdbnet_multiple(arguments: Arguments) -> int:
    # below scale 4 it works on the input with pixels unshuffled
    return {1: 4, 2: 2}.get(arguments["scale"], 1)


def _rrdbnet_scale(arguments: Arguments) -> int:
    return 4 // _rrdbnet_multiple(arguments)  # for any other value of its argument it is 4


def _swinir_scale(arguments: Arguments) -> int:
    return arguments["upscale"] if arguments["upsampler"] else 1


def _swinir_window(arguments: Arguments) -> int:
    # a window is never larger than the training patch that the net is built for
    shortest = _shortest(arguments["img_size"]) // _shortest(arguments["patch_size"])
    return min(arguments["window_size"], shortest)


def _shortest(size: Any) -> int:
    return min(size) if isinstance(size, list | tuple) else size


def _swinir_reach(net: Any) -> Reach:
    return Reach("windows", net.layers[0].residual_group.blocks[0].window_size)


UNKNOWN = Declares()
_COLOURS = {"in_channels": "num_in_ch", "out_channels": "num_out_ch"}

# the nets that map one picture to one picture; the others (video, faces, discriminators) stay unknown
BASICSR: dict[str, Declares] = {
    "EDSR": Declares(scale="upscale", reach=_convolutions, **_COLOURS),
    "RCAN": Declares(scale="upscale", **_COLOURS),
    "MSRResNet": Declares(scale="upscale", reach=_convolutions, **_COLOURS),
    "SRVGGNetCompact": Declares(scale="upscale", reach=_convolutions, **_COLOURS),
    "ECBSR": Declares(scale="scale", reach=_convolutions, **_COLOURS),
    "RRDBNet": Declares(
        scale=_rrdbnet_scale,
        size_multiple=_rrdbnet_multiple,
        reach=_rrdbnet_reach,
        called={"scale": "scale"},
        **_COLOURS,
    ),
    "RIDNet": Declares(scale=1, in_channels="in_channels", out_channels="out_channels"),
    "SwinIR": Declares(
        scale=_swinir_scale,
        in_channels="in_chans",
        out_channels="in_chans",
        size_multiple=_swinir_window,
        reach=_swinir_reach,
        called={"scale": "upscale", "size_multiple": "window_size"},
    ),
}
