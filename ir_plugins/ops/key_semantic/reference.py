"""Attention over the keys that each query keeps, as SemanIR's section 3.3 reads.  Arguments as
`key_semantic_attention`.

G windows, N tokens of a window, k kept keys, n heads of d channels
"""

import torch
from torch import Tensor


def gathered(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None) -> Tensor:
    """The reference: each query has its own copy of the keys and values that it keeps."""
    if dictionary is None:
        dictionary = torch.ones(q.shape[0], q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    longest = int(dictionary.sum(-1).max())
    # (G, N, k): rows with fewer keys are filled up, then masked
    is_kept, index = dictionary.int().topk(longest)
    group = torch.arange(q.shape[0], device=q.device)[:, None, None]
    query = torch.arange(q.shape[2], device=q.device)[:, None]
    keys, values = (t.transpose(1, 2)[group, index] for t in (k, v))  # (G, N, k, n, d)
    logits = torch.einsum("gnqd,gqknd->gnqk", q, keys)
    logits = logits + bias[:, query, index].transpose(0, 1)  # (n, G, N, k) -> (G, n, N, k)
    logits = logits.masked_fill(is_kept[:, None] == 0, -torch.inf)
    return torch.einsum("gnqk,gqknd->gnqd", logits.softmax(-1), values)


def masked(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None) -> Tensor:
    """All logits, some of them hidden by the dictionary."""
    logits = q @ k.mT + bias  # (G, n, N, N)
    if dictionary is not None:
        logits = logits.masked_fill(~dictionary[:, None], -torch.inf)
    return logits.softmax(-1) @ v
