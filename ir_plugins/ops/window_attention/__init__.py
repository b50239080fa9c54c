"""Attention inside windows: dense (Swin) and adaptive sparse (AST, section 3.2).

B pictures of M windows, N tokens of a window, n heads of d channels
"""

from typing import Literal, get_args

from torch import Tensor

from ..choices import check_choice
from ..memory import Memory, memory_for
from . import chunked, reference

Backend = Literal["auto", "reference", "chunked"]


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    dropout: float = 0.0,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """softmax(q kᵀ + bias + mask) v.

    Args:
        q: Queries (B, M, n, N, d), already scaled.
        k: Keys (B, M, n, N, d).
        v: Values (B, M, n, N, d).
        bias: Added to the logits of every window, (n, N, N).
        mask: (M, 1, N, N) of 0 or -inf, every row with at least one 0; None hides nothing.
        dropout: Rate at which attention weights become 0, in [0, 1), default 0.
        backend: "reference" reads like the equation.  "chunked" takes as many windows at a time as memory
            allows.  "auto" is "chunked".
        memory: What "chunked" may hold at a time; default: as a training step.

    Returns:
        (B, M, n, N, d).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return reference.window_attention(q, k, v, bias, mask, dropout)
    return chunked.window_attention(q, k, v, bias, mask, dropout, memory or memory_for(q.device))


def sparse_window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    mix: Tensor,
    dropout: float = 0.0,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """(w1 softmax(L) + w2 relu(L)²) v with L = q kᵀ + bias + mask and w = softmax(mix) (eqs. 3 to 5).

    Args:
        mix: Weights of the two branches before the softmax, (2,).
        q, k, v, bias, mask, dropout, backend, memory: As `window_attention`.

    Returns:
        (B, M, n, N, d).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return reference.sparse_window_attention(q, k, v, bias, mask, mix, dropout)
    return chunked.sparse_window_attention(q, k, v, bias, mask, mix, dropout, memory or memory_for(q.device))
