"""One guard for what networks are built from and run on."""

import functools
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, get_origin

from torch import Tensor

from ..options.problems import short
from ..options.signatures import fits, kind_of
from .building import LARGEST, MOST_LAYERS

Given = ParamSpec("Given")


def checked(constructor: Callable[Given, None]) -> Callable[Given, None]:
    """Let a constructor with named arguments refuse values of another kind than annotated, and absurd ones.

    Args:
        constructor: The method `__init__`.
    """

    @functools.wraps(constructor)
    def refusing(*self: Given.args, **arguments: Given.kwargs) -> None:
        check_arguments(constructor, arguments)
        constructor(*self, **arguments)

    return refusing


def check_arguments(target: Callable, arguments: Mapping[str, Any]) -> None:
    """Check values by the annotations of what takes them.

    Args:
        target: The class or function.
        arguments: Its arguments; unknown ones are left to it.

    Raises:
        ValueError: A value is of another kind than annotated, or a number is absurd.
    """
    parameters = inspect.signature(target).parameters
    for name, value in arguments.items():
        annotation = parameters[name].annotation if name in parameters else Any
        if get_origin(annotation) is Literal:
            continue  # nets list the choices in messages of their own
        if not fits(plain := _plain(value), annotation):
            raise ValueError(f"{name}={short(value)} must be {kind_of(annotation)}")
        for number in plain if isinstance(plain, list) else [plain]:
            if isinstance(number, int) and abs(number) > LARGEST:
                raise ValueError(f"{name}={short(value)} is absurdly large; take at most {LARGEST:,}")


def check_layers(**depths: int | Sequence[int]) -> None:
    """Refuse more layers than any network has.

    Args:
        depths: Numbers of layers by their names.

    Raises:
        ValueError: They are too many.
    """
    for name, value in depths.items():
        if (total := sum(value) if isinstance(value, Sequence) else value) > MOST_LAYERS:
            raise ValueError(f"{name}: {total:,} layers are absurdly many; take at most {MOST_LAYERS:,}")


def check_picture(x: Any, channels: int) -> None:
    """Refuse what is no batch of pictures, rather than let it broadcast.

    Args:
        x: What a network is to run on.
        channels: Channels that it takes.

    Raises:
        ValueError: It is no floating-point tensor (B, channels, H, W), B, H, W >= 1.
    """
    expected = f"expected pictures (B, {channels}, H, W) of floating-point numbers, B, H and W at least 1"
    if not isinstance(x, Tensor):
        raise ValueError(f"{expected}; got a {type(x).__name__}")
    if x.ndim != 4 or x.shape[1] != channels or not x.is_floating_point():
        raise ValueError(f"{expected}; got {tuple(x.shape)} of {x.dtype}")
    if x.shape[0] == 0 or x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError(f"{expected}; got {tuple(x.shape)}")


def _plain(value: Any) -> Any:
    """A value as YAML would give it: lists for sequences, Python's numbers for NumPy's."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return value
