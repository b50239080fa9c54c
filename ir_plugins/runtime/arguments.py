"""Checks of arguments that several rooms share; those that raise, raise UserError, which is a ValueError."""

from collections.abc import Iterable
from typing import Any

from .errors import UserError

MOST = 2**62  # of a number; a few more must fit into 64 bits


def is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 0, and no bool.

    Args:
        value: Anything that a file may hold.
    """
    return type(value) is int and 0 <= value < MOST


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of the choices.

    Args:
        name: Name of the argument.
        value: What was given.
        choices: What may be given.
    """
    if value not in (known := tuple(choices)):
        raise UserError(f"{name}={value!r} is not one of {', '.join(known)}")


def check_positive(name: str, value: float) -> None:
    """Refuse a value that is not above 0.

    Args:
        name: Name of the argument.
        value: What was given.
    """
    if not value > 0:
        raise UserError(f"{name}={value!r} must be above 0")


def check_side(height: int, width: int, least: int, way_out: str) -> None:
    """Refuse a picture that is too small.

    Args:
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
        least: The smallest side that is allowed, in pixels.
        way_out: What the user can do about it, for the message.
    """
    if min(height, width) < least:
        raise UserError(f"a picture of {height}x{width} is too small, its least side is {least}; {way_out}")
