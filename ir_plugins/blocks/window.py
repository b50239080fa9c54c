"""Window attention, and how windowed designs cut a picture (Swin, ICCV 2021)."""

import math
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from ..ops.choices import check_choice
from ..ops.position import relative_index
from ..ops.window_attention import Backend, window_attention
from ..ops.windows import WindowGrid, attention_mask, fixed_grid, merge, partition
from .attention import Attention
from .layers import check_rates
from .reach import Reach
from .registry import register_attention
from .surroundings import any_size_wanted, memory_here

LARGEST_WINDOW = 128  # pixels on a side: 2 GB of relative positions in every block


class Windows(NamedTuple):
    """What the blocks of a stage share.

    Args:
        grid: How the picture is cut.
        mask: Which tokens must not see each other, see `ops.windows.attention_mask`.
    """

    grid: WindowGrid
    mask: Tensor | None


@register_attention("window")
class WindowAttention(Attention):
    """Softmax attention inside shifted windows, with a learned relative position bias.  Paper: Swin, section
    3.2.

    Args:
        dim: Channels.
        num_heads: Heads; must divide dim.
        window_size: Side of a window in pixels, 1 to 128, default 8.
        shifted: Whether windows start half a window later.
        qkv_bias: Whether the projections to q, k and v have biases, default true.
        qk_scale: Factor of q, default 1/√d for heads of d channels.
        attn_drop: Dropout rate of the attention weights, in [0, 1), default 0.
        proj_drop: Dropout rate of the output, in [0, 1), default 0.
        mask_padding: Whether the zeros that fill up windows at the bottom and right are no keys, default
            true; published nets let them take part.
        backend: See `ops.window_attention.window_attention`; "auto", "reference" or "chunked".

    Raises:
        ValueError: If an argument is outside its range.
    """

    paper = "Swin Transformer, ICCV 2021"
    complexity = "O(HW N C), N = window_size²"

    relative_position_index: Tensor
    constant_buffers = ("relative_position_index",)  # no step needs a copy of it
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
        backend: Backend = "auto",
    ):
        super().__init__(dim=dim, num_heads=num_heads, shifted=shifted)
        if window_size < 1:
            raise ValueError(f"{window_size=} must be at least 1 pixel")
        if window_size > LARGEST_WINDOW:
            raise ValueError(
                f"{window_size=}: every block holds a number per pair of pixels; "
                f"take at most {LARGEST_WINDOW}"
            )
        check_choice("backend", backend, get_args(Backend))
        check_rates(attn_drop=attn_drop, proj_drop=proj_drop)
        if qk_scale is not None and not math.isfinite(qk_scale):
            raise ValueError(f"{qk_scale=} must be a number")
        self.window_size, self.mask_padding = window_size, mask_padding
        self.backend: Backend = backend
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

    @property
    def reach(self) -> Reach:
        return Reach("windows", self.window_size)

    def share(self, x: Tensor) -> Windows:
        """How to cut the stage's input x (B, C, H, W)."""
        size = (x.shape[2], x.shape[3])
        grid = fixed_grid(size, self.window_size, self.shifted, any_size=any_size_wanted())
        return Windows(grid, attention_mask(grid, x, self.mask_padding, keep=memory_here(x).eager))

    def forward(self, x: Tensor, shared: Windows) -> Tensor:
        """x: (B, C, H, W) -> same."""
        windows = partition(x, shared.grid)  # (B, M, N, C)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(2, 3) for t in self.qkv(windows))
        y = self.attend(q * self.scale, k, v, self._bias(), shared.mask)  # (B, M, n, N, d)
        return merge(self.proj_drop(self.proj(y.transpose(2, 3).flatten(3))), shared.grid)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        """The attention itself; arguments as `ops.window_attention.window_attention`."""
        return window_attention(
            q, k, v, bias, mask, self._dropout, backend=self.backend, memory=memory_here(q)
        )

    @property
    def _dropout(self) -> float:
        return self.attn_drop if self.training else 0.0

    def _bias(self) -> Tensor:
        """A bias per head and pair of tokens: (n, N, N)."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class ToQueryKeyValue(nn.Module):
    """Projections to q and to k and v, split as in AST's weights: (..., C) -> three of (..., C).

    Args:
        dim: Channels C.
        bias: Whether the projections have biases.
    """

    def __init__(self, dim: int, *, bias: bool):
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.to_q(x), *self.to_kv(x).chunk(2, dim=-1)
