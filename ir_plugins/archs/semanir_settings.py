"""The arguments of both SemanIR nets, and what must hold for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..blocks.designs import Designs
from ..blocks.key_semantic import Logits
from ..blocks.transformer import NormPlace
from ..ops.choices import check_choice
from ..ops.key_semantic import Backend, Similarity
from .arguments import check_arguments, check_layers

Shift = Literal["alternate", "per_stage", "none"]


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """The arguments that both nets take, see `semanir_arch._KeySemanticNet`."""

    in_chans: int = 3
    embed_dim: int = 180
    depths: Sequence[int] = (6, 6, 6, 6, 6, 6)
    num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6)
    window_size: int = 32
    mlp_ratio: float = 2.0
    top_k: int | None = None
    train_top_k: Sequence[int] = ()
    img_range: float = 1.0
    drop_path_rate: float = 0.1
    shift: Shift = "alternate"
    norm: NormPlace = "post"
    logits: Logits = "cosine"
    similarity: Similarity = "dot"
    backend: Backend = "auto"
    attention: Designs = None
    ffn: Designs = None
    use_checkpoint: bool = False

    def __post_init__(self):
        check_arguments(type(self), vars(self))
        choices = {"shift": Shift, "norm": NormPlace, "logits": Logits, "similarity": Similarity}
        for name, allowed in (choices | {"backend": Backend}).items():
            check_choice(name, getattr(self, name), get_args(allowed))
        # names for messages
        window_size, in_chans, embed_dim = self.window_size, self.in_chans, self.embed_dim
        depths, num_heads = list(self.depths), list(self.num_heads)
        drop_path_rate, img_range, mlp_ratio = self.drop_path_rate, self.img_range, self.mlp_ratio
        if window_size < 1:
            raise ValueError(f"{window_size=} must be at least 1 pixel")
        if in_chans < 1 or not depths or min((*depths, *num_heads)) < 1:
            raise ValueError(f"{in_chans=}, {depths=} and {num_heads=} must be at least 1")
        check_layers(depths=depths)
        if not (0 <= drop_path_rate < 1 and 0 < img_range < math.inf and 0 < mlp_ratio < math.inf):
            raise ValueError(f"{drop_path_rate=} must lie in [0, 1), {img_range=} and {mlp_ratio=} above 0")
        if len(depths) != len(num_heads):
            raise ValueError(f"{depths=} and {num_heads=} differ in length: one per stage")
        if embed_dim < 1:
            raise ValueError(f"{embed_dim=} must be at least 1")
        if self.top_k is not None:
            self.check_top_k("top_k", self.top_k)
        for top_k in self.train_top_k:
            self.check_top_k("train_top_k", top_k)

    def check_top_k(self, name: str, top_k: int) -> None:
        """Check a number of keys.

        Args:
            name: How the message names it.
            top_k: Keys that each query keeps.

        Raises:
            ValueError: If it is no whole number from 1 to the tokens of a window.
        """
        tokens = self.window_size**2
        if type(top_k) is not int or not 1 <= top_k <= tokens:
            raise ValueError(
                f"{name}={top_k} must be a whole number from 1 to the {tokens} tokens of a window; "
                f"change it or window_size={self.window_size}"
            )

    def shifts(self, stage: int) -> list[bool]:
        """For each layer of a stage whether its windows are shifted."""
        return {
            "alternate": [layer % 2 == 1 for layer in range(self.depths[stage])],
            "per_stage": [stage % 2 == 1] * self.depths[stage],
            "none": [False] * self.depths[stage],
        }[self.shift]

    def drop_paths(self, stage: int) -> list[float]:
        """The drop path rate of each layer of a stage, growing linearly through the net."""
        before, total = sum(self.depths[:stage]), sum(self.depths)
        return [
            self.drop_path_rate * (before + layer) / max(1, total - 1) for layer in range(self.depths[stage])
        ]


@dataclass(frozen=True, kw_only=True)
class ColumnarSettings(SharedSettings):
    """The arguments of `SemanIR`."""

    upscale: int = 2
    num_feat: int = 64

    def __post_init__(self):
        super().__post_init__()
        upscale, num_feat = self.upscale, self.num_feat
        if num_feat < 1:
            raise ValueError(f"{num_feat=} must be at least 1")
        if upscale != 3 and (upscale < 2 or upscale & (upscale - 1)):
            raise ValueError(f"{upscale=} must be 3 or a power of two; without upscaling use SemanIRUNet")


@dataclass(frozen=True, kw_only=True)
class UNetSettings(SharedSettings):
    """The arguments of `SemanIRUNet`."""

    embed_dim: int = 60
    depths: Sequence[int] = (4, 4, 6, 6, 6, 4, 4)
    num_heads: Sequence[int] = (2, 4, 8, 16, 8, 4, 2)

    def __post_init__(self):
        super().__post_init__()
        if len(self.depths) != 7:
            raise ValueError(
                f"depths={list(self.depths)} must list the seven stages of the U: "
                "three down, bottom, three up"
            )
