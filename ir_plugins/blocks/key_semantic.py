"""Key-semantic attention (SemanIR, NeurIPS 2024)."""

import math
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.choices import check_choice
from ..ops.key_semantic import Backend, Similarity, build_dictionary, key_semantic_attention
from ..ops.windows import WindowGrid, merge, partition, regions, window_grid
from .attention import Attention
from .position_bias import ContinuousPositionBias
from .reach import Reach
from .registry import register_attention
from .surroundings import any_size_wanted, memory_here

Logits = Literal["cosine", "dot"]
LARGEST_WINDOW = 1024  # pixels on a side: a million tokens, whose similarities take 4 TB


def half_of_a_window(window_size: int) -> int:
    """Keys that a query keeps by default, at least 1.

    Args:
        window_size: Side of a window, in pixels.
    """
    return max(1, window_size**2 // 2)


class KeySemantics(NamedTuple):
    """What the layers of a stage share.

    Args:
        grid: How the picture is cut.
        dictionary: The keys that each query keeps, see `build_dictionary`; None: all.
    """

    grid: WindowGrid
    dictionary: Tensor | None


@register_attention("key_semantic")
class KeySemanticAttention(Attention):
    """Attention inside windows over the keys that a shared dictionary keeps.  Paper: SemanIR, sections 3.2
    and 3.3.

    Args:
        dim: Channels.
        num_heads: Heads; must divide dim.
        window_size: Side of a window in pixels, 1 to 1024, default 32.
        shifted: Whether windows start half a window later.
        top_k: Keys that each query keeps, 1 to window_size²; default: what SemanIR asks for, in other nets
            half of a window.
        logits: "cosine" (q and k of unit length, a learned scale per head of at most 100) or "dot" (divided
            by √d).
        similarity: What ranks the keys in the dictionary: "dot" or "cosine" of the tokens that enter the
            stage.
        backend: See `ops.key_semantic.key_semantic_attention`; "auto", "gather", "softmax" or "sdpa".

    Raises:
        ValueError: If an argument is outside its range.
    """

    paper = "SemanIR, NeurIPS 2024"
    complexity = "O(HW N C), N = window_size²"

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        window_size: int = 32,
        shifted: bool = False,
        top_k: int | None = None,
        logits: Logits = "cosine",
        similarity: Similarity = "dot",
        backend: Backend = "auto",
    ):
        super().__init__(dim=dim, num_heads=num_heads, shifted=shifted)
        check_choice("logits", logits, get_args(Logits))
        check_choice("similarity", similarity, get_args(Similarity))
        check_choice("backend", backend, get_args(Backend))
        tokens = window_size**2
        if window_size < 1 or not (top_k is None or 1 <= top_k <= tokens):
            raise ValueError(
                f"{top_k=} must be a whole number from 1 to the {tokens} tokens of a window; "
                f"change it or {window_size=}"
            )
        if window_size > LARGEST_WINDOW:
            raise ValueError(
                f"{window_size=}: a window compares all its pixels; take at most {LARGEST_WINDOW}"
            )
        self.window_size, self.top_k = window_size, top_k
        self.similarity: Similarity = similarity
        self.backend: Backend = backend
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.position_bias = ContinuousPositionBias(num_heads=num_heads, window_size=window_size)
        if logits == "cosine":
            self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10)))
        else:
            self.register_parameter("logit_scale", None)

    @property
    def reach(self) -> Reach:
        return Reach("windows", self.window_size)

    def share(self, x: Tensor, top_k: int | None = None) -> KeySemantics:
        """How to cut the stage's input, and the dictionary of its tokens.

        Args:
            x: The stage's input (B, C, H, W).
            top_k: Keys that each query keeps if the design has no number of its own; default: half of a
                window.
        """
        top_k = self.top_k or top_k or half_of_a_window(self.window_size)
        size = (x.shape[2], x.shape[3])
        grid = window_grid(size, self.window_size, self.shifted, any_size=any_size_wanted())
        tokens = partition(x.detach(), grid).flatten(0, 1)
        labels = regions(grid, x.device)
        return KeySemantics(
            grid, build_dictionary(tokens, top_k, labels, self.similarity, memory=memory_here(x))
        )

    def forward(self, x: Tensor, shared: KeySemantics) -> Tensor:
        """x: (B, C, H, W) -> same."""
        windows = partition(x, shared.grid)  # (B, M, N, C)
        qkv = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1))  # (B, M, N, 3, n, d)
        q, k, v = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4)  # each (B M, n, N, d)
        if self.logit_scale is None:
            q = q / math.sqrt(q.shape[-1])
        else:
            # fp32: a unit vector in half precision is off by more than neighbouring logits differ
            precise = torch.promote_types(q.dtype, torch.float32)
            q = F.normalize(q.to(precise), dim=-1) * self.logit_scale.clamp(max=math.log(100)).exp()
            k = F.normalize(k.to(precise), dim=-1)
        bias = self.position_bias(shared.grid.window)
        y = key_semantic_attention(
            q.to(v), k.to(v), v, bias, shared.dictionary, backend=self.backend, memory=memory_here(x)
        )
        y = self.proj(y.transpose(1, 2).flatten(2).unflatten(0, windows.shape[:2]))
        return merge(y, shared.grid)
