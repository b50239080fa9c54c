"""PSNR that counts the visible edges of JPEG's blocks."""

import math
from typing import Literal

import numpy as np

from ..runtime.arguments import check_choice
from .pictures import Channels, Picture, Planes, planes
from .pixels import decibels
from .registering import metric

BLOCK = 8  # the side of JPEG's blocks


@metric()
def psnr_b(
    img: Picture,
    img2: Picture,
    *,
    channels: Channels = "gray",
    blocks: Literal["same", "y"] = "same",
    data_range: float = 255.0,
    round_luma: bool = False,
) -> float:
    """PSNR-B in dB, 10 log10(L² / (mse + BEF)), of pictures that were JPEGs (Yim and Bovik 2011).

    The blocking effect factor BEF is of the result alone: how much more neighbours differ across the edges of
    8x8 blocks than elsewhere, and 0 if they do not.  Blocks begin at the upper left corner, so there is no
    crop_border; sides need not be multiples of 8.  Equal pictures without blocks count as 100 dB.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        channels: gray, luma as MATLAB's rgb2gray; y, as its rgb2ycbcr; rgb, one BEF of all channels.
        blocks: Where BEF looks for blocks: same, in `channels`; y, in luma as MATLAB's rgb2ycbcr (16..235 of
            255).  The tables of colour JPEG have the error of rgb and the blocks of y.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.
        round_luma: Round luma to 256 levels before it is compared.

    Raises:
        UserError: Shapes differ.
    """
    check_choice("blocks", blocks, ("same", "y"))
    x, y = planes(img, img2, channels=channels, data_range=data_range, round_luma=round_luma)
    searched = x if blocks == "same" else planes(img, img, channels=blocks, data_range=data_range)[0]
    return decibels(float(np.square(x - y).mean()) + blocking_effect(searched), data_range)


def blocking_effect(x: Planes) -> float:
    """BEF, a number of at least 0.

        log2(8) / log2(min(h, w)) · (mean square across edges of blocks - mean square elsewhere)

    The factor is at most 1, its value at a side of 8: smaller pictures hold no block.

    Args:
        x: (h, w, C).
    """
    at_edges, elsewhere = [], []
    for axis in (0, 1):
        squares = np.square(np.diff(x, axis=axis)).swapaxes(0, axis)  # of neighbours i and i + 1
        is_edge = np.arange(len(squares)) % BLOCK == BLOCK - 1
        at_edges.append(squares[is_edge].ravel())
        elsewhere.append(squares[~is_edge].ravel())
    across, within = np.concatenate(at_edges), np.concatenate(elsewhere)
    if not across.size:
        return 0.0
    strength = math.log2(BLOCK) / math.log2(max(BLOCK, min(x.shape[:2])))
    return strength * max(0.0, float(across.mean() - within.mean()))
