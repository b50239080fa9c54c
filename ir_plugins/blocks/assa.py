"""Adaptive sparse self-attention (AST, CVPR 2024)."""

from torch import Tensor

from ..ops.window_attention import sparse_window_attention
from .registry import register_attention
from .surroundings import memory_here
from .window import WindowAttention


@register_attention("assa")
class AdaptiveSparseAttention(WindowAttention):
    """A learned mix of softmax and squared-ReLU attention inside shifted windows.  Paper: AST, section 3.2.

    Arguments as `WindowAttention`.
    """

    paper = "AST, CVPR 2024"
    complexity = "O(HW N C), N = window_size²"

    branches = 2  # softmax, squared ReLU

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        return sparse_window_attention(
            q, k, v, bias, mask, self.w, self._dropout, backend=self.backend, memory=memory_here(q)
        )
