"""Attention inside windows: dense (Swin) and adaptive sparse (AST, section 3.2).

B pictures of M windows, N tokens of a window, n heads of d channels
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """softmax(q kᵀ + bias + mask) v.

    q, k, v: (B, M, n, N, d), q already scaled.  bias: (n, N, N).  mask: (M, 1, N, N), 0 or -inf, every row
    with at least one 0; or None.  dropout: rate at which attention weights become 0.  Returns (B, M, n, N,
    d).
    """
    attention = _logits(q, k, bias, mask).softmax(-1)
    return F.dropout(attention, dropout).to(v.dtype) @ v


def sparse_window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, mix: Tensor, dropout: float = 0.0
) -> Tensor:
    """(w1 softmax(L) + w2 relu(L)²) v with L = q kᵀ + bias + mask (eqs. 3 to 5); w = softmax(mix), mix: (2,).

    Other shapes as `window_attention`.
    """
    logits = _logits(q, k, bias, mask)
    dense, sparse = mix.to(logits.dtype).softmax(0)
    # both branches in one matrix, so that v is read once
    attention = logits.softmax(-1) * dense + logits.relu().square() * sparse
    attention = F.dropout(attention, dropout)
    if v.dtype == torch.float16:  # squares beyond 65504 would be infinite in it
        with torch.autocast(v.device.type, enabled=False):
            return (attention @ v.float()).to(v.dtype)
    return attention.to(v.dtype) @ v


def _logits(q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    # fp32: squared logits beyond 256 overflow float16, and bfloat16 rounds neighbours together
    logits = (q @ k.mT).to(torch.promote_types(q.dtype, torch.float32)) + bias
    return logits if mask is None else logits + mask
