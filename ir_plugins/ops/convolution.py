"""Convolutions of pictures in channels-last memory, and how to do without their widest results.

B batch, C channels, H x W picture
"""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from .memory import Memory, chunks

Layer = tuple[Tensor, Tensor | None]  # weight and bias


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution, computed as a matrix product.

    Args:
        x: Picture (B, C, H, W).
        weight: (C', C) or (C', C, 1, 1).
        bias: (C',), default none.

    Returns:
        Picture (B, C', H, W) in channels-last memory.
    """
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """3x3 convolution of each channel by itself, with zeros around the picture.

    Args:
        x: Picture (B, C, H, W).
        weight: (C, 1, 3, 3).
        bias: (C,), default none.

    Returns:
        Picture (B, C, H, W).
    """
    return F.conv2d(x, weight, bias, padding=1, groups=len(weight))


def part(layer: Layer, channels: slice) -> Layer:
    """The weight and bias that make some of a layer's output channels."""
    weight, bias = layer
    return weight[channels], None if bias is None else bias[channels]


def channel_chunks(x: Tensor, first: int, last: int, memory: Memory) -> list[slice]:
    """Cut channels into chunks that fit into memory.

    Args:
        x: A picture (B, _, H, W) as large as the one that the channels belong to.
        first: The first channel.
        last: The channel after the last one.
        memory: `channels` and `least_channels` of it count.
    """
    if memory.channels is None:
        return [slice(first, last)]
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    return chunks(first, last, max(memory.least_channels, memory.channels // max(1, pixels)))


def pointwise_sum(
    terms: Iterable[tuple[Tensor, Tensor]], bias: Tensor | None = None, *, eager: bool = True
) -> Tensor:
    """Σ pointwise(x, weight) + bias.

    Args:
        terms: Pairs of a picture x (B, C, H, W) and a weight (C', C[, 1, 1]); C may differ.  A pair may be
            freed as soon as the next one is asked for.
        bias: (C',), default none.
        eager: Whether to add in place.  A graph that an exporter records loses weights that are added so.

    Returns:
        Picture (B, C', H, W).
    """
    terms = iter(terms)
    total = pointwise(*next(terms), bias)
    for x, weight in terms:
        if not eager:
            total = total + pointwise(x, weight)
            continue
        # autocast casts nothing that is added in place
        x, weight = x.to(total.dtype), weight.to(total.dtype)
        pixels = x.permute(0, 2, 3, 1).flatten(0, 2)
        total.permute(0, 2, 3, 1).flatten(0, 2).addmm_(pixels, weight.flatten(1).T)
    return total
