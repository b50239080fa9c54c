"""Attention over the keys that each query keeps, a chunk of windows and heads at a time.

G windows, N tokens of a window, n heads of d channels
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import Memory, chunks


def chunked(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dictionary: Tensor | None, memory: Memory
) -> Tensor:
    """Arguments as `key_semantic_attention`."""
    return _ChunkedAttention.apply(q, k, v, bias.to(q.dtype), dictionary, memory.neighbours, memory.eager)


class _ChunkedAttention(torch.autograd.Function):
    """Fused attention forward, recomputed logits backward.

    Autograd through `scaled_dot_product_attention` would keep every chunk's bias-and-mask for the backward
    pass, and on the CPU leaves the fused kernel as soon as the bias needs a gradient.
    """

    @staticmethod
    def forward(
        ctx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor,
        dictionary: Tensor | None,
        limit: int | None,
        eager: bool,
    ) -> Tensor:
        dim = v.shape[-1]
        out = torch.empty_like(v)
        # fused kernels want rows of a multiple of 8 numbers: required on the GPU, 10 % on the CPU
        padded = [F.pad(t, (0, -dim % 8)) for t in (q, k, v)]
        for part, added in _masked_biases(bias, dictionary, q.shape[0], limit, eager):
            chunk = (t[part] for t in padded)
            out[part] = F.scaled_dot_product_attention(*chunk, attn_mask=added, scale=1.0)[..., :dim]
        ctx.save_for_backward(q, k, v, bias, dictionary, out)
        ctx.limit, ctx.eager = limit, eager
        return out

    @staticmethod
    def backward(ctx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, dictionary, out = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad_bias = torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32))
        for part, added in _masked_biases(bias, dictionary, q.shape[0], ctx.limit, ctx.eager):
            weight = (q[part] @ k[part].mT).add_(added).softmax(-1)
            grad_v[part] = weight.mT @ grad_out[part]
            # gradient of softmax: w (g - sum w g), and sum w g is the inner product of output and its
            # gradient
            inner = (grad_out[part] * out[part]).sum(-1, keepdim=True)
            grad_logits = (grad_out[part] @ v[part].mT).sub_(inner).mul_(weight)
            grad_q[part] = grad_logits @ k[part]
            grad_k[part] = grad_logits.mT @ q[part]
            grad_bias[part[1]] += grad_logits.sum(0, dtype=grad_bias.dtype)
        return grad_q, grad_k, grad_v, grad_bias.to(bias.dtype), None, None, None


def _masked_biases(
    bias: Tensor, dictionary: Tensor | None, groups: int, limit: int | None, eager: bool
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Bias and dictionary as one additive mask, chunk after chunk of windows and heads.

    Args:
        bias: (n, N, N).
        dictionary: (G, N, N) or None.
        groups: Windows G.
        limit: Logits per chunk, but at least one window and head; None: all at once.
        eager: Whether the masks of all chunks may lie in one buffer that the next chunk overwrites.

    Yields:
        Where the chunk lies in (G, n), and its mask (g, heads, N, N).
    """
    heads, count, _ = bias.shape
    window_step = groups if limit is None else limit // bias.numel()
    head_step = heads if limit is None else min(heads, limit // count**2)
    window_step, head_step = max(1, window_step), max(1, head_step)
    # rows that begin on a multiple of 8 numbers, as the GPU's kernels want them
    buffer = bias.new_empty(window_step, head_step, count, count + -count % 8)[..., :count]
    for windows in chunks(0, groups, window_step):
        if dictionary is None:
            yield from (((windows, some), bias[None, some]) for some in chunks(0, heads, head_step))
            continue
        # adding 0 or -inf is vectorised on the CPU, masked_fill or where over all heads is not
        allowed = torch.where(dictionary[windows], bias.new_zeros(()), bias.new_full((), -torch.inf))
        for some in chunks(0, heads, head_step):
            if not eager:  # dynamo writes no `out=` that lies in another tensor
                yield (windows, some), bias[some] + allowed[:, None]
                continue
            out = buffer[: len(allowed), : some.stop - some.start]
            yield (windows, some), torch.add(bias[some], allowed[:, None], out=out)
