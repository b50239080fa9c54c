"""Attention across channels (Restormer, section 3.1).

B batch, C channels, H x W picture of P pixels, n heads of d channels
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import Layer, channel_chunks, depthwise, part, pointwise
from .precision import without_autocast

Backend = Literal["auto", "reference", "folded"]

EPS = 1e-12  # of F.normalize, as published
HALF_EPS = 1e-5  # a gradient is divided by it, and must not leave float16


def channel_attention(
    x: Tensor,
    qkv: Layer,
    qkv_dwconv: Layer,
    temperature: Tensor,
    project_out: Layer,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Project(softmax(q̂ k̂ᵀ temperature) v) for q, k, v = depthwise(pointwise(x)), with q̂ and k̂ of unit
    length along the pixels (eq. 1).

    x: (B, C, H, W) -> same.  Weights: qkv (3C, C, 1, 1), qkv_dwconv (3C, 1, 3, 3), project_out (C, C, 1, 1).
    temperature: (n, 1, 1).

    backend: "reference" reads like the equation.  "folded" divides the d x d logits by the lengths instead of
    normalising pictures, and multiplies the projection into the C x C attention, so that v is read once;
    without gradients it makes q, k and v in chunks of channels.  "auto" is "folded".
    """
    if backend == "reference":
        return _reference(x, qkv, qkv_dwconv, temperature, project_out)
    if backend in ("auto", "folded"):
        return _folded(x, qkv, qkv_dwconv, temperature, project_out)
    raise ValueError(f"{backend=} is unknown; choose auto, reference or folded")


def _reference(x: Tensor, qkv: Layer, qkv_dwconv: Layer, temperature: Tensor, project_out: Layer) -> Tensor:
    h, w = x.shape[2:]
    q, k, v = depthwise(F.conv2d(x, *qkv), *qkv_dwconv).chunk(3, dim=1)
    q, k, v = (t.flatten(2).unflatten(1, (len(temperature), -1)) for t in (q, k, v))  # (B, n, d, P)
    q, k = (F.normalize(t.to(_precise(t)), dim=-1, eps=EPS) for t in (q, k))
    attention = (q @ k.mT * temperature).softmax(-1).to(v.dtype)  # (B, n, d, d)
    y = (attention @ v).flatten(1, 2).unflatten(2, (h, w))
    return F.conv2d(y, *project_out)


def _folded(x: Tensor, qkv: Layer, qkv_dwconv: Layer, temperature: Tensor, project_out: Layer) -> Tensor:
    heads, dim = len(temperature), x.shape[1]

    def make(channels: slice) -> Tensor:
        y = depthwise(pointwise(x, *part(qkv, channels)), *part(qkv_dwconv, channels))
        return y.permute(0, 2, 3, 1).flatten(1, 2)  # (B, P, channels)

    cosine = _cosines(make, x, heads)
    with without_autocast(x):
        attention = (cosine * temperature).softmax(-1)  # (B, n, d, d)
        # project(attention v) = (project attention) v: columns of the projection belong to heads
        columns = project_out[0].flatten(1).unflatten(1, (heads, -1)).transpose(0, 1)  # (n, C, d)
        folded = (columns.to(attention.dtype) @ attention).permute(0, 1, 3, 2).flatten(1, 2)  # (B, C, C)

    def value(channels: slice) -> tuple[Tensor, Tensor]:
        v = make(slice(2 * dim + channels.start, 2 * dim + channels.stop))
        return v, folded[:, channels].to(v.dtype)

    first, *others = channel_chunks(x, 0, dim)
    y = torch.matmul(*value(first))
    for channels in others:
        y.baddbmm_(*value(channels))
    if project_out[1] is not None:
        y = y + project_out[1].to(y.dtype)
    return y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def _cosines(make: Callable[[slice], Tensor], x: Tensor, heads: int) -> Tensor:
    """q̂ k̂ᵀ of every head, float32: (B, n, d, d)."""
    dim = x.shape[1]
    if len(channel_chunks(x, 0, dim)) == 1:
        return _cosine(make(slice(0, dim)), make(slice(dim, 2 * dim)), heads)
    rows = []
    for start in range(0, dim, dim // heads):
        chunks = channel_chunks(x, start, start + dim // heads)
        keys = [make(slice(dim + chunk.start, dim + chunk.stop)) for chunk in chunks]
        for chunk in chunks:
            q = make(chunk)
            rows.append(torch.cat([_cosine(q, k, 1) for k in keys], dim=-1)[:, 0])  # (B, chunk, d)
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
