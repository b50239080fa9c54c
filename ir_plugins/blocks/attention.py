"""What every attention design has in common, and how a stage runs its blocks."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Attention(nn.Module):
    """The base of every attention design: forward(x, shared) maps a picture (B, C, H, W) to the same shape.

    dim: channels C.  num_heads: must divide dim.  shifted: whether windows start half a window later; designs
    without windows leave it False.
    """

    paper: str  # where the design is from, and what it costs: `basicsr list attentions` shows both
    complexity: str

    def __init__(self, *, dim: int, num_heads: int, shifted: bool = False):
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(
                f"{num_heads=} does not divide the {dim} channels of its stage; "
                "take a divisor, or another number of channels"
            )
        self.num_heads, self.shifted = num_heads, shifted

    def share(self, x: Tensor, top_k: int | None = None) -> Any:
        """What all blocks of a stage with this `shifted` need, made once from the stage's input (B, C, H, W).

        top_k: how many keys the net asks each query to keep in this forward, where it has such a setting.
        """
        return None


def run_blocks(
    blocks: Iterable[Any], x: Tensor, *, top_k: int | None = None, use_checkpoint: bool = False
) -> Tensor:
    """A stage: its blocks one after another, (B, C, H, W) -> same, sharing what their attentions share.

    A block has an `attn` (an Attention or None) and a forward(x, shared).  With use_checkpoint its
    activations are not kept for the backward pass but computed again.
    """
    entering, shared = x, {}
    for block in blocks:
        attn = block.attn
        key = None if attn is None else attn.shifted
        if attn is not None and key not in shared:
            shared[key] = attn.share(entering, top_k)
        if use_checkpoint and torch.is_grad_enabled():
            x = checkpoint(block, x, shared.get(key), use_reentrant=False)
        else:
            x = block(x, shared.get(key))
    return x
