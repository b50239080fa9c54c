"""Attention inside windows as the papers' equations read.  Arguments as the functions of
`ops.window_attention`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import without_autocast


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """Swin, equation 4."""
    weights = _logits(q, k, bias, mask).softmax(-1)
    return _weighted(weights, v, dropout)


def sparse_window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, mix: Tensor, dropout: float
) -> Tensor:
    """AST, equations 3 to 5."""
    logits = _logits(q, k, bias, mask)
    dense, sparse = logits.softmax(-1), logits.relu().square()
    w1, w2 = mix.to(logits.dtype).softmax(0)
    return _weighted(w1 * dense + w2 * sparse, v, dropout)


def _logits(q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """(B, M, n, N, N), at least float32."""
    logits = q @ k.mT
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) + bias
    return logits if mask is None else logits + mask


def _weighted(weights: Tensor, v: Tensor, dropout: float) -> Tensor:
    """Sums of values, in float32 too: squared logits overflow float16."""
    with without_autocast(v):
        return (F.dropout(weights, dropout) @ v.to(weights.dtype)).to(v.dtype)
