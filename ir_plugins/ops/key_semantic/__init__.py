"""Key-semantic dictionary and attention (SemanIR, sections 3.2 and 3.3).

G windows (of all pictures of a batch), N tokens of a window, n heads of d channels
"""

from typing import Literal, get_args

from torch import Tensor

from ..choices import check_choice
from ..memory import Memory, memory_for
from .chunked import chunked
from .dictionary import Similarity, build_dictionary
from .reference import gathered, masked

__all__ = ["Backend", "Similarity", "build_dictionary", "key_semantic_attention"]

Backend = Literal["auto", "gather", "softmax", "sdpa"]


def key_semantic_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    dictionary: Tensor | None,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """softmax(q kᵀ + bias) v over the keys that each query keeps (SemanIR, section 3.3).

    Args:
        q: Queries (G, n, N, d), already scaled.
        k: Keys (G, n, N, d).
        v: Values (G, n, N, d).
        bias: Added to the logits of every window, (n, N, N).
        dictionary: Keys that each query keeps, (G, N, N) of bool, every row with at least one True; None
            keeps all.
        backend: "gather", the reference, copies k keys and values per query, as the paper's equation reads.
            "softmax" masks the dense logits: simple, and what "sdpa" is measured against.  "sdpa" never holds
            more than a chunk of logits, forward or backward.  "auto" is "sdpa".
        memory: What "sdpa" may hold at a time; default: as a training step.

    Returns:
        (G, n, N, d).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "gather":
        return gathered(q, k, v, bias, dictionary)
    if backend == "softmax":
        return masked(q, k, v, bias, dictionary)
    return chunked(q, k, v, bias, dictionary, memory or memory_for(q.device))
