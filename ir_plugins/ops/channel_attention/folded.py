"""Attention across channels that normalises no picture and reads v once.

B batch, C channels, P pixels, n heads of d channels
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..convolution import Layer, channel_chunks, depthwise, part, pointwise
from ..memory import Memory
from ..precision import without_autocast
from .reference import EPS

HALF_EPS = 1e-5  # a gradient is divided by it and must not leave float16


def folded(
    x: Tensor, qkv: Layer, qkv_dwconv: Layer, temperature: Tensor, project_out: Layer, memory: Memory
) -> Tensor:
    """Arguments as `channel_attention`; q, k and v are made in chunks of channels that fit into memory."""
    heads, dim = len(temperature), x.shape[1]

    def make(channels: slice) -> Tensor:
        y = depthwise(pointwise(x, *part(qkv, channels)), *part(qkv_dwconv, channels))
        return y.permute(0, 2, 3, 1).flatten(1, 2)  # (B, P, channels)

    def cut(first: int, last: int) -> list[slice]:
        return channel_chunks(x, first, last, memory)

    cosine = _cosines(make, cut, dim, heads)
    with without_autocast(x):
        attention = (cosine * temperature).softmax(-1)  # (B, n, d, d)
        # project(attention v) = (project attention) v: columns of the projection belong to heads
        columns = project_out[0].flatten(1).unflatten(1, (heads, -1)).transpose(0, 1)  # (n, C, d)
        weight = (columns.to(attention.dtype) @ attention).permute(0, 1, 3, 2).flatten(1, 2)  # (B, C, C)

    def value(channels: slice) -> tuple[Tensor, Tensor]:
        v = make(slice(2 * dim + channels.start, 2 * dim + channels.stop))
        return v, weight[:, channels].to(v.dtype)

    first, *others = cut(0, dim)
    y = torch.matmul(*value(first))
    for channels in others:
        y.baddbmm_(*value(channels))
    if project_out[1] is not None:
        y = y + project_out[1].to(y.dtype)
    return y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def _cosines(
    make: Callable[[slice], Tensor], cut: Callable[[int, int], list[slice]], dim: int, heads: int
) -> Tensor:
    """q̂ k̂ᵀ of every head, float32: (B, n, d, d)."""
    if len(cut(0, dim)) == 1:
        return _cosine(make(slice(0, dim)), make(slice(dim, 2 * dim)), heads)
    rows = []
    for start in range(0, dim, dim // heads):
        parts = cut(start, start + dim // heads)
        keys = [make(slice(dim + channels.start, dim + channels.stop)) for channels in parts]
        for channels in parts:
            q = make(channels)
            rows.append(torch.cat([_cosine(q, k, 1) for k in keys], dim=-1)[:, 0])  # (B, some of d, d)
    return torch.cat(rows, dim=1).unflatten(1, (heads, -1))


def _cosine(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """q: (B, P, n c), k: (B, P, n d) -> (B, n, c, d)."""
    is_fp16 = q.dtype == torch.float16
    length_q, length_k = (_length(t, HALF_EPS if is_fp16 else EPS) for t in (q, k))
    if is_fp16:  # only here can the sums of q k overflow
        q, k = ((t / length[:, None]).to(t.dtype) for t, length in ((q, length_q), (k, length_k)))
        length_q, length_k = torch.ones_like(length_q), torch.ones_like(length_k)
    q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))  # (B, n, P, c), (B, n, P, d)
    length_q, length_k = (t.unflatten(-1, (heads, -1)) for t in (length_q, length_k))
    with without_autocast(q):
        return (q.mT @ k).to(_precise(q)) / (length_q[..., :, None] * length_k[..., None, :])


def _length(x: Tensor, eps: float) -> Tensor:
    """Along the pixels, at least eps: (B, P, C) -> (B, C)."""
    # fp32: the sum overflows float16; clamped before the root, whose slope at 0 is infinite
    return x.to(_precise(x)).square().sum(1).clamp_min(eps**2).sqrt()


def _precise(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
