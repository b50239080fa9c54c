"""Attention across channels (Restormer, section 3.1).

B batch, P pixels, C channels, n heads of d channels
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Backend = Literal["auto", "reference", "folded"]

EPS = 1e-12  # of F.normalize, as published


def channel_attention(
    qkv: Tensor, temperature: Tensor, weight: Tensor, bias: Tensor | None, *, backend: Backend = "auto"
) -> Tensor:
    """Project(softmax(q̂ᵀ k̂ temperature) v), with q̂ and k̂ of unit length along the pixels (eq. 1).

    qkv: (B, P, 3C).  temperature: (n, 1, 1).  weight: (C, C) and bias: (C,) of the output projection.
    Returns (B, P, C).

    backend: "reference" reads like the equation.  "folded" never normalises nor moves a whole picture:
    lengths divide the d x d logits, and the projection is multiplied into the C x C attention, so that v is
    read once. "auto" is "folded".
    """
    if backend == "reference":
        return _reference(qkv, temperature, weight, bias)
    if backend in ("auto", "folded"):
        return _folded(qkv, temperature, weight, bias)
    raise ValueError(f"{backend=} is unknown; choose auto, reference or folded")


def _reference(qkv: Tensor, temperature: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    heads = temperature.shape[0]
    q, k, v = (t.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1) for t in qkv.chunk(3, dim=-1))  # (B, n, d, P)
    q, k = (F.normalize(t.float(), dim=-1, eps=EPS) for t in (q, k))
    attention = (q @ k.mT * temperature).softmax(-1).to(v.dtype)  # (B, n, d, d)
    y = (attention @ v).flatten(1, 2).mT  # (B, P, C)
    return F.linear(y, weight, bias)


def _folded(qkv: Tensor, temperature: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    heads = temperature.shape[0]
    q, k, v = qkv.chunk(3, dim=-1)
    # fp32: the sum over the pixels overflows half precision, and a zero vector's EPS underflows in it
    length = torch.linalg.vector_norm(qkv[..., : 2 * q.shape[-1]], dim=1, dtype=torch.float32)  # (B, 2C)
    length_q, length_k = length.clamp_min(EPS).unflatten(-1, (2, heads, -1)).unbind(1)  # (B, n, d)
    if qkv.dtype == torch.float16:  # only here can the sums of q k overflow
        q, k = (t * (1 / s.flatten(1)).to(t.dtype)[:, None] for t, s in ((q, length_q), (k, length_k)))
        length_q = length_k = torch.ones_like(length_q)
    q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))  # (B, n, P, d)
    with torch.autocast(qkv.device.type, enabled=False):
        logits = (q.mT @ k).float() / (length_q[..., :, None] * length_k[..., None, :])
        attention = (logits * temperature).softmax(-1)  # (B, n, d, d)
    # project(attention v) = (project attention) v: columns of the projection belong to heads
    columns = weight.unflatten(-1, (heads, -1)).transpose(0, 1)  # (n, C, d)
    folded = (columns.float() @ attention).transpose(1, 2).flatten(2)  # (B, C, C)
    y = v @ folded.to(v.dtype).mT
    return y if bias is None else y + bias.to(y.dtype)
