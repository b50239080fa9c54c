"""Convolutions of pictures in channels-last memory, and how to do without their widest results.

B batch, C channels, H x W picture
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

Layer = tuple[Tensor, Tensor | None]  # weight and bias

# Wide results are made in chunks of channels of at most so many numbers: what the CPU's allocator hands out
# again instead of mapping fresh pages (measured); a GPU's is a guess that only bounds its memory.
CHUNK_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 28}
LEAST_CHANNELS = 16


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution (B, C, H, W) -> (B, C', H, W), as a matrix product.  weight: (C', C[, 1, 1])."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """3x3 convolution of each channel by itself: (B, C, H, W) -> same.  weight: (C, 1, 3, 3)."""
    return F.conv2d(x, weight, bias, padding=1, groups=len(weight))


def part(layer: Layer, channels: slice) -> Layer:
    """Those of a layer that make some of its output channels."""
    weight, bias = layer
    return weight[channels], None if bias is None else bias[channels]


def channel_chunks(x: Tensor, first: int, last: int) -> list[slice]:
    """The channels first to last - 1 of something as large as picture x, in chunks.

    One chunk where gradients are wanted, since the backward pass needs all of them anyway, and where the net
    is traced: the size of a chunk would be burnt in.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return [slice(first, last)]
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    limit = CHUNK_NUMBERS.get(x.device.type, CHUNK_NUMBERS["cpu"])
    step = max(LEAST_CHANNELS, limit // max(1, pixels))
    return [slice(start, min(start + step, last)) for start in range(first, last, step)]


def pointwise_sum(terms: Iterable[tuple[Tensor, Tensor]], bias: Tensor | None = None) -> Tensor:
    """Σ pointwise(x, weight) + bias over pairs of pictures and weights; each may go once the next is asked
    for.
    """
    terms = iter(terms)
    total = pointwise(*next(terms), bias)
    for x, weight in terms:
        if torch.compiler.is_exporting():  # it loses hold of weights that are added in place
            total = total + pointwise(x, weight)
            continue
        # autocast casts nothing that is added in place
        x, weight = x.to(total.dtype), weight.to(total.dtype)
        pixels = x.permute(0, 2, 3, 1).flatten(0, 2)
        total.permute(0, 2, 3, 1).flatten(0, 2).addmm_(pixels, weight.flatten(1).T)
    return total
