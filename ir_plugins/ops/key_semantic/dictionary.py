"""The dictionary: the keys that each query keeps (SemanIR, section 3.2).

G windows of all pictures, M windows of one, N tokens of a window, C channels, k kept keys
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import Memory, chunks, memory_for
from ..precision import without_autocast

Similarity = Literal["dot", "cosine"]


def build_dictionary(
    tokens: Tensor,
    top_k: int,
    labels: Tensor | None = None,
    similarity: Similarity = "dot",
    *,
    memory: Memory | None = None,
) -> Tensor | None:
    """For each query the `top_k` tokens of its window that are most similar to it.

    Exactly `top_k` keys of a row are kept, ties broken by `torch.topk`; fewer where fewer are valid.  No
    gradient flows: the choice is an index.

    Args:
        tokens: Tokens that enter the stage, (G, N, C).
        top_k: Keys that each query keeps, at least 1.
        labels: (M, N) with G a multiple of M: a query keeps only keys of its own label, see
            `windows.regions`; None makes every key valid.
        similarity: "dot" or "cosine" of two tokens, default "dot".
        memory: How many similarities it may hold at a time; default: as a training step.

    Returns:
        A mask (G, N, N), True where query i (row) keeps key j (column); None if every query keeps all.
    """
    groups, count, _ = tokens.shape
    if top_k >= count and labels is None:
        return None
    limit = (memory or memory_for(tokens.device)).neighbours
    step = groups if limit is None else limit // count**2
    mask = torch.empty(groups, count, count, dtype=torch.bool, device=tokens.device)
    with torch.no_grad():
        tokens = tokens.float()
        if similarity == "cosine":
            tokens = F.normalize(tokens, dim=-1)
        for some in chunks(0, groups, max(1, step)):
            valid = None if labels is None else _same_label(labels, some)
            mask[some] = _kept(tokens[some], top_k, valid)
    return mask


def _kept(tokens: Tensor, top_k: int, valid: Tensor | None) -> Tensor:
    if top_k >= tokens.shape[1] and valid is not None:
        return valid
    # autocast would rank in half precision, where many similarities tie
    with without_autocast(tokens):
        score = tokens @ tokens.mT  # (g, N, N)
    if valid is not None:
        score.masked_fill_(~valid, -torch.inf)
    kept = score.topk(top_k, sorted=False).indices  # (g, N, k)
    mask = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, kept, True)
    return mask if valid is None else mask & valid


def _same_label(labels: Tensor, windows: slice) -> Tensor:
    labels = labels[torch.arange(windows.start, windows.stop, device=labels.device) % labels.shape[0]]
    return labels[:, :, None] == labels[:, None, :]
