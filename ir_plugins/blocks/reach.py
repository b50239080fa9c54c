"""Reach: how much of the input the output at a pixel depends on."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple


class Reach(NamedTuple):
    """How much of the input the output at a pixel depends on.

    Args:
        kind: "halo": `pixels` of the input on each side; "windows": windows of the picture's own grid,
            `pixels` of the input on a side, and beyond them where later layers shift them; "picture":
            everything.
        pixels: In the input's pixels; 0 for "picture".
    """

    kind: Literal["halo", "windows", "picture"]
    pixels: int = 0


PICTURE = Reach("picture")


def reach_of(design: Any) -> Reach:
    """The reach of an attention or feed-forward; the whole picture if it declares none."""
    said = getattr(design, "reach", PICTURE)
    return said if isinstance(said, Reach) else PICTURE


def joined(parts: Iterable[tuple[Reach, int]], *, grid: int = 1) -> Reach:
    """The reach of layers that follow each other.

    Args:
        parts: The reach of each layer at its own scale, and how many of the input's pixels one of its pixels
            is wide.
        grid: Pixels of the input that the net merges into one at its lowest scale.  Windows of the picture's
            own grid are multiples of it.
    """
    reaches = [reach._replace(pixels=reach.pixels * scale) for reach, scale in parts]
    if any(reach.kind == "picture" for reach in reaches):
        return PICTURE
    windows = [reach.pixels for reach in reaches if reach.kind == "windows"]
    if windows:
        return Reach("windows", math.lcm(grid, *windows))
    return Reach("halo", sum(reach.pixels for reach in reaches))
