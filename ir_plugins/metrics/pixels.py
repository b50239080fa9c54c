"""Metrics that compare pixel by pixel."""

import math
from functools import cache

import numpy as np

from basicsr.utils import get_root_logger

from .pictures import Channels, Picture, planes
from .registering import metric

CAP = 100.0  # dB: the value of equal pictures, and the upper limit for others


@metric()
def psnr(
    img: Picture,
    img2: Picture,
    *,
    crop_border: int = 0,
    channels: Channels = "rgb",
    data_range: float = 255.0,
    round_luma: bool = False,
) -> float:
    """Peak signal-to-noise ratio, 10 log10(L² / mse) in dB over all pixels and channels together.

    It equals BasicSR's calculate_psnr except that values outside 0..L are clamped first, and that equal
    pictures count as 100 dB, the highest value there is: BasicSR's infinity makes every mean infinite.  The
    log says so once.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L.
        img2: GT, of the same shape.
        crop_border: Pixels at each edge that are not measured.
        channels: rgb; y, luma as MATLAB's rgb2ycbcr (BT.601, studio range: 16..235 of 255); gray, luma as
            MATLAB's rgb2gray (full range).
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation, of
            16-bit pictures too.
        round_luma: Round luma to 256 levels before it is compared, as MATLAB does with 8-bit pictures (in
            the tables of deraining) and BasicSR does not (super-resolution).

    Raises:
        UserError: Shapes differ, or crop_border leaves nothing.
    """
    x, y = planes(
        img,
        img2,
        crop_border=crop_border,
        channels=channels,
        data_range=data_range,
        round_luma=round_luma,
    )
    return decibels(float(np.square(x - y).mean()), data_range)


@metric(better="lower")
def mae(img: Picture, img2: Picture, *, crop_border: int = 0, data_range: float = 255.0) -> float:
    """Mean absolute error over all pixels and channels, in 0..1.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        crop_border: Pixels at each edge that are not measured.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.

    Raises:
        UserError: Shapes differ, or crop_border leaves nothing.
    """
    x, y = planes(img, img2, crop_border=crop_border, data_range=data_range)
    return float(np.abs(x - y).mean()) / data_range


def decibels(mse: float, data_range: float) -> float:
    """10 log10(L² / mse), but at most CAP.

    Args:
        mse: Mean square error.
        data_range: L, the value of white.
    """
    if mse < data_range**2 * 10 ** (-CAP / 10):
        _note_cap()
        return CAP
    return 10 * math.log10(data_range**2 / mse)  # of nan, nan


@cache
def _note_cap() -> None:
    get_root_logger().info(
        f"PSNR: a result equals its GT and counts as {CAP:g} dB, the most that there is; noted once"
    )
