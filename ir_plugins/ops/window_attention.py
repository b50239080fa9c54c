"""Attention inside windows: dense (Swin) and adaptive sparse (AST, section 3.2).

B pictures of M windows, N tokens of a window, n heads of d channels
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import without_autocast

# Without gradients at most so many logits at a time: what the CPU's allocator hands out again instead of
# mapping fresh pages; a GPU's is a guess that only bounds its memory.
CHUNK_LOGITS = {"cpu": 1 << 21, "cuda": 1 << 27}


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """softmax(q kᵀ + bias + mask) v.

    q, k, v: (B, M, n, N, d), q already scaled.  bias: (n, N, N).  mask: (M, 1, N, N), 0 or -inf, every row
    with at least one 0; or None.  dropout: rate at which attention weights become 0.  Returns (B, M, n, N,
    d).
    """

    def weigh(logits: Tensor) -> Tensor:
        return F.dropout(logits.softmax(-1), dropout)

    return _attend(q, k, v, bias, mask, weigh)


def sparse_window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, mix: Tensor, dropout: float = 0.0
) -> Tensor:
    """(w1 softmax(L) + w2 relu(L)²) v with L = q kᵀ + bias + mask (eqs. 3 to 5); w = softmax(mix), mix: (2,).

    Other shapes as `window_attention`.
    """

    def weigh(logits: Tensor) -> Tensor:
        dense, sparse = mix.to(logits.dtype).softmax(0)
        # both branches in one matrix, so that v is read once
        return F.dropout(logits.softmax(-1) * dense + logits.relu().square() * sparse, dropout)

    return _attend(q, k, v, bias, mask, weigh)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, weigh: Callable[[Tensor], Tensor]
) -> Tensor:
    """weigh(q kᵀ + bias + mask) v, without gradients a chunk of windows at a time."""

    def attend(windows: slice) -> Tensor:
        # fp32: squared logits beyond 256 overflow float16, and bfloat16 rounds neighbours together
        precise = torch.promote_types(q.dtype, torch.float32)
        logits = (q[:, windows] @ k[:, windows].mT).to(precise) + bias
        weights = weigh(logits if mask is None else logits + mask[windows])
        values = v[:, windows]
        if v.dtype == torch.float16:  # squares beyond 65504 would be infinite in it
            with without_autocast(v):
                return (weights @ values.float()).to(v.dtype)
        return weights.to(v.dtype) @ values

    pictures, count, heads, tokens, _ = q.shape
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return attend(slice(None))
    limit = CHUNK_LOGITS.get(q.device.type, CHUNK_LOGITS["cpu"])
    step = max(1, limit // (pictures * heads * tokens**2))
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    for start in range(0, count, step):
        out[:, start : start + step] = attend(slice(start, start + step))
    return out
