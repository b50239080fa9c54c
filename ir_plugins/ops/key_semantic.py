"""Key-semantic dictionary and attention (SemanIR, sections 3.2 and 3.3).

G windows (of all pictures of a batch), N tokens of a window, C channels, n heads of d channels, k kept keys
"""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import without_autocast

Similarity = Literal["dot", "cosine"]
Backend = Literal["auto", "gather", "softmax", "sdpa"]

# Work goes in chunks of at most so many logits (or of one window and head): what stays in a CPU core's cache,
# what keeps all multiprocessors of a GPU busy.
CHUNK_LOGITS = {"cpu": 1 << 20, "cuda": 1 << 27}


def build_dictionary(
    tokens: Tensor, top_k: int, labels: Tensor | None = None, similarity: Similarity = "dot"
) -> Tensor | None:
    """Which keys each query keeps: the `top_k` tokens of its window most similar to it.

    tokens: (G, N, C), the tokens that enter the stage.  labels: (M, N) with G a multiple of M, see
    `windows.regions`. Returns a mask (G, N, N), True where query i (row) keeps key j (column); None where
    every query keeps all. Exactly `top_k` keys of a row are kept, ties broken by `torch.topk`; fewer where
    fewer are valid. No gradient flows: the choice is an index.
    """
    groups, count, _ = tokens.shape
    if top_k >= count and labels is None:
        return None
    mask = torch.empty(groups, count, count, dtype=torch.bool, device=tokens.device)
    with torch.no_grad():
        tokens = tokens.float()
        if similarity == "cosine":
            tokens = F.normalize(tokens, dim=-1)
        for part in _chunks(groups, max(1, _limit(tokens.device) // count**2)):
            valid = None if labels is None else _same_label(labels, part)
            mask[part] = _keep(tokens[part], top_k, valid)
    return mask


def _keep(tokens: Tensor, top_k: int, valid: Tensor | None) -> Tensor:
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


def _same_label(labels: Tensor, part: slice) -> Tensor:
    labels = labels[torch.arange(part.start, part.stop, device=labels.device) % labels.shape[0]]
    return labels[:, :, None] == labels[:, None, :]


def key_semantic_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None, *, backend: Backend = "auto"
) -> Tensor:
    """softmax(q kᵀ + bias) v over the keys that each query keeps (SemanIR, section 3.3).

    q, k, v: (G, n, N, d), q already scaled.  bias: (n, N, N).  dictionary: (G, N, N) of bool, every row with
    at least one True, or None for dense attention.  Returns (G, n, N, d).

    backend: "gather" copies k keys and values per query, as the paper's equation reads: the reference.
    "softmax" masks the dense logits: simple, and what "sdpa" is measured against.  "sdpa" never holds more
    than a chunk of logits, forward or backward.  "auto" is "sdpa".
    """
    if backend == "gather":
        return _gather(q, k, v, bias, dictionary)
    if backend == "softmax":
        return _softmax(q, k, v, bias, dictionary)
    if backend in ("auto", "sdpa"):
        return _ChunkedAttention.apply(q, k, v, bias.to(q.dtype), dictionary)
    raise ValueError(f"{backend=} is unknown; choose auto, gather, softmax or sdpa")


def _gather(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None) -> Tensor:
    if dictionary is None:
        dictionary = torch.ones(q.shape[0], q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    longest = int(dictionary.sum(-1).max())
    is_kept, index = dictionary.int().topk(
        longest
    )  # (G, N, k): rows with fewer keys are filled up, then masked
    group = torch.arange(q.shape[0], device=q.device)[:, None, None]
    query = torch.arange(q.shape[2], device=q.device)[:, None]
    keys, values = (t.transpose(1, 2)[group, index] for t in (k, v))  # (G, N, k, n, d)
    logits = torch.einsum("gnqd,gqknd->gnqk", q, keys)
    logits = logits + bias[:, query, index].transpose(0, 1)  # (n, G, N, k) -> (G, n, N, k)
    logits = logits.masked_fill(is_kept[:, None] == 0, -torch.inf)
    return torch.einsum("gnqk,gqknd->gnqd", logits.softmax(-1), values)


def _softmax(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None) -> Tensor:
    logits = q @ k.mT + bias  # (G, n, N, N)
    if dictionary is not None:
        logits = logits.masked_fill(~dictionary[:, None], -torch.inf)
    return logits.softmax(-1) @ v


class _ChunkedAttention(torch.autograd.Function):
    """Fused attention forward, recomputed logits backward, a chunk of windows at a time.

    Autograd through `scaled_dot_product_attention` would keep every chunk's bias-and-mask for the backward
    pass, and on the CPU leaves the fused kernel as soon as the bias needs a gradient.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None) -> Tensor:
        dim = v.shape[-1]
        out = torch.empty_like(v)
        # fused kernels want rows of a multiple of 8 numbers: required on the GPU, 10 % on the CPU
        padded = [F.pad(t, (0, -dim % 8)) for t in (q, k, v)]
        for part, added in _masked_biases(bias, dictionary, q.shape[0]):
            chunk = (t[part] for t in padded)
            out[part] = F.scaled_dot_product_attention(*chunk, attn_mask=added, scale=1.0)[..., :dim]
        ctx.save_for_backward(q, k, v, bias, dictionary, out)
        return out

    @staticmethod
    def backward(ctx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, dictionary, out = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad_bias = torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32))
        for part, added in _masked_biases(bias, dictionary, q.shape[0]):
            weight = (q[part] @ k[part].mT).add_(added).softmax(-1)
            grad_v[part] = weight.mT @ grad_out[part]
            # gradient of softmax: w (g - sum w g), and sum w g is the inner product of output and its
            # gradient
            inner = (grad_out[part] * out[part]).sum(-1, keepdim=True)
            grad_logits = (grad_out[part] @ v[part].mT).sub_(inner).mul_(weight)
            grad_q[part] = grad_logits @ k[part]
            grad_k[part] = grad_logits.mT @ q[part]
            grad_bias[part[1]] += grad_logits.sum(0, dtype=grad_bias.dtype)
        return grad_q, grad_k, grad_v, grad_bias.to(bias.dtype), None


def _masked_biases(
    bias: Tensor, dictionary: Tensor | None, groups: int
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Chunk after chunk of windows and heads: where it lies in (G, n), and bias and dictionary as one
    additive mask.

    The mask (g, heads, N, N) lives in one buffer that the next chunk overwrites.
    """
    heads, count, _ = bias.shape
    limit = _limit(bias.device)
    window_step = max(1, limit // bias.numel())
    head_step = min(heads, max(1, limit // count**2))
    # rows that begin on a multiple of 8 numbers, as the GPU's kernels want them
    buffer = bias.new_empty(window_step, head_step, count, count + -count % 8)[..., :count]
    for windows in _chunks(groups, window_step):
        if dictionary is None:
            yield from (((windows, some), bias[None, some]) for some in _chunks(heads, head_step))
            continue
        # adding 0 or -inf is vectorised on the CPU, masked_fill or where over all heads is not
        allowed = torch.where(dictionary[windows], bias.new_zeros(()), bias.new_full((), -torch.inf))
        for some in _chunks(heads, head_step):
            if torch.compiler.is_compiling():  # dynamo writes no `out=` that lies in another tensor
                yield (windows, some), bias[some] + allowed[:, None]
                continue
            out = buffer[: len(allowed), : some.stop - some.start]
            yield (windows, some), torch.add(bias[some], allowed[:, None], out=out)


def _limit(device: torch.device) -> int:
    return CHUNK_LOGITS.get(device.type, CHUNK_LOGITS["cpu"])


def _chunks(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
