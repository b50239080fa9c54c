"""Crop, convert and clamp the two pictures of a metric.

H x W picture, h x w the picture after cropping, C channels, L data_range
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..runtime.arguments import check_choice
from ..runtime.errors import UserError

Picture = NDArray[Any]  # (H, W, C) in the order B, G, R, or (H, W)
Planes = NDArray[Any]  # (h, w, C), float64
Channels = Literal["rgb", "y", "gray"]

LUMA = {  # weights of B, G and R, and what black becomes, for L = 255: BT.601 in studio and in full range
    "y": ((24.966 / 255, 128.553 / 255, 65.481 / 255), 16.0),
    "gray": ((0.114, 0.587, 0.299), 0.0),
}


def planes(
    img: Picture,
    img2: Picture,
    *,
    crop_border: int = 0,
    channels: Channels = "rgb",
    data_range: float = 255.0,
    round_luma: bool = False,
) -> tuple[Planes, Planes]:
    """Both pictures as they are compared: (h, w, C), or luma (h, w, 1), clamped to 0..L.

    Args:
        img: (H, W, C) or (H, W).
        img2: The same shape.
        crop_border: Pixels at each edge that are left out.
        channels: rgb, all channels; y or gray, luma of colour; a picture of one channel stays as it is.
        data_range: L, the value of white; black is 0.
        round_luma: Round luma to the 256 levels of an 8-bit picture, halves up.

    Raises:
        UserError: Shapes differ or are not a picture's, or nothing is left of them.
    """
    check_choice("channels", channels, ("rgb", *LUMA))
    if img.shape != img2.shape and _with_channels(img).shape != _with_channels(img2).shape:
        shapes = f"{list(img.shape)} and {list(img2.shape)}"
        raise UserError(
            f"the result and GT are {shapes}; they must have one height, width and number of channels"
        )
    if not 0 < data_range < float("inf"):
        raise UserError(f"{data_range=} must be above 0: the value of white")
    if round_luma and channels == "rgb":
        raise UserError("round_luma rounds luma; set channels: y or gray with it, or take it out")
    x, y = (_prepared(_with_channels(p), crop_border, channels, data_range, round_luma) for p in (img, img2))
    return x, y


def _with_channels(picture: Picture) -> Picture:
    if picture.ndim == 2:
        return picture[..., None]
    if picture.ndim != 3:
        raise UserError(f"{list(picture.shape)} is no picture of (H, W, C) or (H, W)")
    return picture


def _prepared(picture: Picture, border: int, channels: str, white: float, round_luma: bool) -> Planes:
    h, w, count = picture.shape
    if border < 0 or 2 * border >= min(h, w):
        fault = "must be 0 or more" if border < 0 else f"leaves nothing of {h}x{w} pixels; lower it"
        raise UserError(f"crop_border={border} {fault}")
    inner = picture[border : h - border, border : w - border]
    # OpenCV's filters want C order, which a tensor's permuted array is not in
    found = np.ascontiguousarray(inner, dtype=np.float64).clip(0, white)
    if channels == "rgb":
        return found
    if count not in (1, 3):
        raise UserError(f"channels={channels!r} is of pictures with 1 or 3 channels, not {count}; set it rgb")
    if count == 3:
        weights, black = LUMA[channels]
        found = (found @ np.array(weights) + black * white / 255)[..., None]
    return np.floor(found * (255 / white) + 0.5) * (white / 255) if round_luma else found
