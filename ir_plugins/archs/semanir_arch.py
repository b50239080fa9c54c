"""SemanIR (NeurIPS 2024, arXiv 2405.20008): transformers that share their key semantics.

The paper's text leaves much open and no code was published.  Widths, depths, MLP ratio, position bias and
head of the columnar net are proved by the published parameter counts; shifts, norms and logits follow GRL
(same first author).

B batch, C channels, H x W picture; pictures travel as (B, C, H, W) in channels-last memory.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basicsr.archs.arch_util import Upsample
from basicsr.utils.registry import ARCH_REGISTRY

from ..blocks.attention import run_blocks
from ..blocks.designs import Designs, attentions, feed_forwards
from ..blocks.key_semantic import Logits
from ..blocks.layers import ChannelNorm
from ..blocks.transformer import Norm, TransformerBlock
from ..ops.key_semantic import Backend, Similarity
from ..ops.padding import pad_to_multiple
from .declaration import Declares

Shift = Literal["alternate", "per_stage", "none"]
CHOICES = {"logits": Logits, "similarity": Similarity, "backend": Backend}


class _KeySemanticNet(nn.Module):
    """What both nets have in common: the colour mean, `top_k`, and how stages are made."""

    mean: Tensor

    def __init__(
        self,
        *,
        in_chans: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int,
        top_k: int | None,
        train_top_k: Sequence[int],
        img_range: float,
        drop_path_rate: float,
        shift: Shift,
        norm: Norm,
        mlp_ratio: float,
        attention: Designs,
        ffn: Designs,
        use_checkpoint: bool,
        **own_options,
    ):
        super().__init__()
        _check_choices(shift=(shift, Shift), norm=(norm, Norm))
        _check_choices(**{name: (value, CHOICES[name]) for name, value in own_options.items()})
        if window_size < 1:
            raise ValueError(f"{window_size=} must be at least 1 pixel")
        if in_chans < 1 or not depths or min((*depths, *num_heads)) < 1:
            raise ValueError(
                f"{in_chans=}, depths={list(depths)} and num_heads={list(num_heads)} must be at least 1"
            )
        if not (0 <= drop_path_rate < 1 and 0 < img_range < math.inf and 0 < mlp_ratio < math.inf):
            raise ValueError(f"{drop_path_rate=} must lie in [0, 1), {img_range=} and {mlp_ratio=} above 0")
        if len(depths) != len(num_heads):
            raise ValueError(
                f"depths={list(depths)} and num_heads={list(num_heads)} differ in length: one per stage"
            )
        self.depths, self.num_heads, self.window_size = tuple(depths), tuple(num_heads), window_size
        self.top_k = max(1, window_size**2 // 2) if top_k is None else top_k
        self.train_top_k = tuple(self._checked(k, "train_top_k") for k in train_top_k)
        self.img_range = img_range
        rgb_mean = (0.4488, 0.4371, 0.4040) if in_chans == 3 else (0.0,) * in_chans
        self.register_buffer("mean", torch.tensor(rgb_mean).view(1, -1, 1, 1), persistent=False)
        self._shift, self._drop_path_rate = shift, drop_path_rate
        self._layer_options = {"norm": norm, "ratio": mlp_ratio}
        self._use_checkpoint = use_checkpoint
        own = {"type": "key_semantic", "window_size": window_size, **own_options}
        self._attentions = attentions(attention, [own] * len(depths))
        self._feed_forwards = feed_forwards(ffn, [{"type": "mlp"}] * len(depths))

    @property
    def top_k(self) -> int:
        """Keys that each query keeps; may be set on a live net and takes effect on the next forward."""
        return self._top_k

    @top_k.setter
    def top_k(self, value: int) -> None:
        self._top_k = self._checked(value, "top_k")

    def _checked(self, top_k: int, name: str) -> int:
        tokens = self.window_size**2
        if type(top_k) is not int or not 1 <= top_k <= tokens:
            raise ValueError(
                f"{name}={top_k} must be a whole number from 1 to the {tokens} tokens of a window; "
                f"change it or window_size={self.window_size}"
            )
        return top_k

    def _draw_top_k(self) -> int:
        """One value per training forward, the same for all stages; `top_k` otherwise."""
        if not (self.training and self.train_top_k):
            return self.top_k
        return self.train_top_k[int(torch.randint(len(self.train_top_k), ()))]

    def _stage(self, index: int, dim: int) -> "Stage":
        before, total = sum(self.depths[:index]), sum(self.depths)
        depth = self.depths[index]
        shifted = {
            "alternate": [layer % 2 == 1 for layer in range(depth)],
            "per_stage": [index % 2 == 1] * depth,
            "none": [False] * depth,
        }
        return Stage(
            dim=dim,
            num_heads=self.num_heads[index],
            shifted=shifted[self._shift],
            drop_path=[self._drop_path_rate * (before + layer) / max(1, total - 1) for layer in range(depth)],
            attention=self._attentions[index],
            ffn=self._feed_forwards[index],
            use_checkpoint=self._use_checkpoint,
            **self._layer_options,
        )

    def _normalize(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.img_range).contiguous(memory_format=torch.channels_last)

    def _denormalize(self, x: Tensor) -> Tensor:
        return x / self.img_range + self.mean


@ARCH_REGISTRY.register()
class SemanIR(_KeySemanticNet):
    """Columnar SemanIR for super-resolution: (B, in_chans, H, W) -> (B, in_chans, H upscale, W upscale), any
    H, W >= 1.

    The defaults are SemanIR-S x2 (11.870 M parameters); SemanIR-B has eight stages of eight layers (19.896
    M).

    upscale: 3 or a power of two.  in_chans: 1 (gray) or 3.  embed_dim: channels, a multiple of every entry of
    num_heads. depths, num_heads: one entry per stage.  window_size: in pixels, up to N = window_size² tokens.
    top_k: keys that each query keeps, 1 to N, default N/2.  train_top_k: values from which one is drawn per
    training forward; empty: always top_k.  img_range: the net works on (x - mean) * img_range.
    drop_path_rate: of the last layer, growing linearly from 0.
    The paper does not state these: shift ("alternate": every other layer; "per_stage": every other stage;
    "none"), norm ("post" or "pre"), logits ("cosine" or "dot"), similarity of the dictionary ("dot" or
    "cosine"). backend: see `ops.key_semantic.key_semantic_attention`.
    attention, ffn: designs other than the paper's key_semantic and mlp (`basicsr list attentions`, `ffns`),
    one for all or a list, one per stage; window_size, top_k, logits, similarity and backend are for
    key_semantic. use_checkpoint: compute activations again in the backward pass instead of keeping them.
    """

    declares = Declares(scale="upscale", in_channels="in_chans", out_channels="in_chans")

    def __init__(
        self,
        *,
        upscale: int = 2,
        in_chans: int = 3,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 32,
        mlp_ratio: float = 2.0,
        num_feat: int = 64,
        top_k: int | None = None,
        train_top_k: Sequence[int] = (),
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
        shift: Shift = "alternate",
        norm: Norm = "post",
        logits: Logits = "cosine",
        similarity: Similarity = "dot",
        backend: Backend = "auto",
        attention: Designs = None,
        ffn: Designs = None,
        use_checkpoint: bool = False,
    ):
        super().__init__(
            in_chans=in_chans,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            top_k=top_k,
            train_top_k=train_top_k,
            img_range=img_range,
            drop_path_rate=drop_path_rate,
            shift=shift,
            norm=norm,
            logits=logits,
            similarity=similarity,
            backend=backend,
            attention=attention,
            ffn=ffn,
            use_checkpoint=use_checkpoint,
        )
        if embed_dim < 1 or num_feat < 1:
            raise ValueError(f"{embed_dim=} and {num_feat=} must be at least 1")
        if upscale != 3 and (upscale < 2 or upscale & (upscale - 1)):
            raise ValueError(f"{upscale=} must be 3 or a power of two; without upscaling use SemanIRUNet")
        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.norm_first = ChannelNorm(embed_dim)
        self.stages = nn.ModuleList(self._stage(index, embed_dim) for index in range(len(depths)))
        self.norm_last = ChannelNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)
        self.conv_before_upsample = nn.Conv2d(embed_dim, num_feat, 3, padding=1)
        self.upsample = Upsample(upscale, num_feat)
        self.conv_last = nn.Conv2d(num_feat, in_chans, 3, padding=1)
        _init_linear(self)

    def forward(self, x: Tensor) -> Tensor:
        top_k = self._draw_top_k()
        shallow = self.conv_first(self._normalize(x))
        y = self.norm_first(shallow)
        for stage in self.stages:
            y = stage(y, top_k)
        y = self.conv_after_body(self.norm_last(y)) + shallow
        y = F.leaky_relu(self.conv_before_upsample(y))
        y = self._denormalize(self.conv_last(self.upsample(y)))
        return y.contiguous()  # losses and discriminators may `view` it


@ARCH_REGISTRY.register()
class SemanIRUNet(_KeySemanticNet):
    """U-shaped SemanIR for restoration at the input's size: (B, in_chans, H, W) -> same, any H, W >= 1.

    Seven stages in the order the data flows, of widths c, 2c, 4c, 8c, 4c, 2c, c (c = embed_dim); the skips
    are concatenated, the input is added to the output.  The defaults have the published 25.82 M parameters.
    Arguments as `SemanIR`, without upscale.
    """

    declares = Declares(scale=1, in_channels="in_chans", out_channels="in_chans")

    def __init__(
        self,
        *,
        in_chans: int = 3,
        embed_dim: int = 60,
        depths: Sequence[int] = (4, 4, 6, 6, 6, 4, 4),
        num_heads: Sequence[int] = (2, 4, 8, 16, 8, 4, 2),
        window_size: int = 32,
        mlp_ratio: float = 2.0,
        top_k: int | None = None,
        train_top_k: Sequence[int] = (),
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
        shift: Shift = "alternate",
        norm: Norm = "post",
        logits: Logits = "cosine",
        similarity: Similarity = "dot",
        backend: Backend = "auto",
        attention: Designs = None,
        ffn: Designs = None,
        use_checkpoint: bool = False,
    ):
        super().__init__(
            in_chans=in_chans,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            top_k=top_k,
            train_top_k=train_top_k,
            img_range=img_range,
            drop_path_rate=drop_path_rate,
            shift=shift,
            norm=norm,
            logits=logits,
            similarity=similarity,
            backend=backend,
            attention=attention,
            ffn=ffn,
            use_checkpoint=use_checkpoint,
        )
        if embed_dim < 1:
            raise ValueError(f"{embed_dim=} must be at least 1")
        if len(depths) != 7:
            raise ValueError(
                f"depths={list(depths)} must list the seven stages of the U: three down, bottom, three up"
            )
        widths = [embed_dim << level for level in (0, 1, 2, 3, 2, 1, 0)]
        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.stages = nn.ModuleList(self._stage(index, width) for index, width in enumerate(widths))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 4, stride=2, padding=1) for w in widths[:3])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[4:])
        self.fuses = nn.ModuleList(nn.Conv2d(2 * w, w, 3, padding=1) for w in widths[4:])
        self.conv_last = nn.Conv2d(embed_dim, in_chans, 3, padding=1)
        _init_linear(self)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        top_k = self._draw_top_k()
        y = self.conv_first(self._normalize(pad_to_multiple(x, 8)))
        skips = []
        for stage, down in zip(self.stages[:3], self.downs, strict=True):
            skips.append(stage(y, top_k))
            y = down(skips[-1])
        y = self.stages[3](y, top_k)
        for stage, up, fuse in zip(self.stages[4:], self.ups, self.fuses, strict=True):
            y = stage(fuse(torch.cat([up(y), skips.pop()], dim=1)), top_k)
        y = x + self.conv_last(y)[..., :h, :w] / self.img_range
        return y.contiguous()  # losses and discriminators may `view` it


class Stage(nn.Module):
    """Layers that share key semantics, a convolution, and around both a residual: (B, C, H, W) -> same."""

    def __init__(
        self, *, dim: int, shifted: Sequence[bool], drop_path: Sequence[float], use_checkpoint: bool, **layer
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerBlock(dim=dim, shifted=s, drop_path=rate, **layer)
            for s, rate in zip(shifted, drop_path, strict=True)
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.use_checkpoint = use_checkpoint

    def forward(self, x: Tensor, top_k: int) -> Tensor:
        return x + self.conv(run_blocks(self.layers, x, top_k=top_k, use_checkpoint=self.use_checkpoint))


def _check_choices(**choices) -> None:
    for name, (value, allowed) in choices.items():
        if value not in get_args(allowed):
            raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(get_args(allowed))}")


def _init_linear(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
