"""Window attention, and how windowed designs cut a picture (Swin, ICCV 2021)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..ops.position import relative_index
from ..ops.window_attention import window_attention
from ..ops.windows import WindowGrid, attention_mask, fixed_grid, merge, partition
from .attention import Attention
from .layers import check_rates
from .registry import register_attention

MOST = 128  # pixels on a side: 2 GB of relative positions in every block


class Windows(NamedTuple):
    """What the blocks of a stage share: how the picture is cut, and which tokens must not see each other."""

    grid: WindowGrid
    mask: Tensor | None


@register_attention("window")
class WindowAttention(Attention):
    """Softmax attention inside shifted windows, with a learned relative position bias.  Paper: Swin, section
    3.2.

    dim: channels.  num_heads: must divide dim.  window_size: in pixels.  shifted: windows start half a window
    later.  qkv_bias: biases of the projections to q, k and v.  qk_scale: of q, default 1/√d.  attn_drop,
    proj_drop: dropout of the attention and of the output.  mask_padding: whether the zeros that fill up
    windows at the bottom and right are no keys; published nets let them take part.
    """

    paper = "Swin Transformer, ICCV 2021"
    complexity = "O(HW N C), N = window_size²"

    relative_position_index: Tensor
    branches = 1  # attention matrices that a learned `w` mixes

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        window_size: int = 8,
        shifted: bool = False,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        mask_padding: bool = True,
    ):
        super().__init__(dim=dim, num_heads=num_heads, shifted=shifted)
        if window_size < 1:
            raise ValueError(f"{window_size=} must be at least 1 pixel")
        if window_size > MOST:
            raise ValueError(
                f"{window_size=}: every block holds a number per pair of pixels; take at most {MOST}"
            )
        check_rates(attn_drop=attn_drop, proj_drop=proj_drop)
        if qk_scale is not None and not math.isfinite(qk_scale):
            raise ValueError(f"{qk_scale=} must be a number")
        self.window_size, self.mask_padding = window_size, mask_padding
        self.scale = (dim // num_heads) ** -0.5 if qk_scale is None else qk_scale
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window_size - 1) ** 2, num_heads))
        self.register_buffer("relative_position_index", relative_index(window_size))
        self.qkv = ToQueryKeyValue(dim, bias=qkv_bias)
        self.attn_drop = attn_drop
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        if self.branches > 1:
            self.w = nn.Parameter(torch.ones(self.branches))

    def share(self, x: Tensor, top_k: int | None = None) -> Windows:
        """How to cut the stage's input (B, C, H, W)."""
        grid = fixed_grid((x.shape[2], x.shape[3]), self.window_size, self.shifted)
        return Windows(grid, attention_mask(grid, x, self.mask_padding))

    def forward(self, x: Tensor, shared: Windows) -> Tensor:
        """(B, C, H, W) -> same."""
        windows = partition(x, shared.grid)  # (B, M, N, C)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(2, 3) for t in self.qkv(windows))
        y = self.attend(q * self.scale, k, v, self._bias(), shared.mask)  # (B, M, n, N, d)
        return merge(self.proj_drop(self.proj(y.transpose(2, 3).flatten(3))), shared.grid)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        """Attention proper: (B, M, n, N, d) each -> same."""
        return window_attention(q, k, v, bias, mask, self._dropout)

    @property
    def _dropout(self) -> float:
        return self.attn_drop if self.training else 0.0

    def _bias(self) -> Tensor:
        """A bias per head and pair of tokens: (n, N, N)."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class ToQueryKeyValue(nn.Module):
    """Projections to q and to k and v, split as in AST's weights: (..., C) -> three of (..., C)."""

    def __init__(self, dim: int, *, bias: bool):
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.to_q(x), *self.to_kv(x).chunk(2, dim=-1)
