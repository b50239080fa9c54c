"""Multi-Dconv head transposed attention (Restormer, CVPR 2022)."""

from typing import get_args

import torch
from torch import Tensor, nn

from ..ops.channel_attention import Backend, channel_attention
from ..ops.choices import check_choice
from .attention import Attention
from .layers import weights
from .registry import register_attention
from .surroundings import memory_here


@register_attention("mdta")
class TransposedAttention(Attention):
    """Attention across channels, with depthwise convolutions for context.  Paper: Restormer, section 3.1.

    Args:
        dim: Channels.
        num_heads: Heads; must divide dim.
        bias: Whether the convolutions have biases, default false.
        backend: See `ops.channel_attention.channel_attention`; "auto", "reference" or "folded".

    Raises:
        ValueError: If num_heads does not divide dim, or the backend is unknown.
    """

    paper = "Restormer, CVPR 2022"
    complexity = "O(HW C²/heads): channels attend to channels"

    def __init__(self, *, dim: int, num_heads: int, bias: bool = False, backend: Backend = "auto"):
        super().__init__(dim=dim, num_heads=num_heads)
        check_choice("backend", backend, get_args(Backend))
        self.backend: Backend = backend
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x: Tensor, shared: None = None) -> Tensor:
        """x: (B, C, H, W) -> same."""
        return channel_attention(
            x,
            weights(self.qkv),
            weights(self.qkv_dwconv),
            self.temperature,
            weights(self.project_out),
            backend=self.backend,
            memory=memory_here(x),
        )
