"""Attention inside windows, as many windows at a time as memory allows.

B pictures of M windows, N tokens of a window, n heads of d channels
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import Memory, chunks
from ..precision import without_autocast


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float, memory: Memory
) -> Tensor:
    """Arguments as `ops.window_attention.window_attention`."""

    def weigh(logits: Tensor) -> Tensor:
        return F.dropout(logits.softmax(-1), dropout)

    return _attend(q, k, v, bias, mask, weigh, memory)


def sparse_window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    mix: Tensor,
    dropout: float,
    memory: Memory,
) -> Tensor:
    """Arguments as `ops.window_attention.sparse_window_attention`."""

    def weigh(logits: Tensor) -> Tensor:
        dense, sparse = mix.to(logits.dtype).softmax(0)
        # both branches in one matrix, so that v is read once
        return F.dropout(logits.softmax(-1) * dense + logits.relu().square() * sparse, dropout)

    return _attend(q, k, v, bias, mask, weigh, memory)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    weigh: Callable[[Tensor], Tensor],
    memory: Memory,
) -> Tensor:
    """weigh(q kᵀ + bias + mask) v."""

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

    if memory.windows is None:
        return attend(slice(None))
    pictures, count, heads, tokens, _ = q.shape
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    for windows in chunks(0, count, max(1, memory.windows // (pictures * heads * tokens**2))):
        out[:, windows] = attend(windows)
    return out
