"""SemanIR (NeurIPS 2024, arXiv 2405.20008): transformers that share their key semantics.

The paper's text leaves much open and no code was published.  Widths, depths, MLP ratio, position bias and
head of the columnar net are proved by the published parameter counts; shifts, norms and logits follow GRL
(same first author).

B batch, C channels, H x W picture; pictures travel as (B, C, H, W) in channels-last memory.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basicsr.archs.arch_util import Upsample
from basicsr.utils.registry import ARCH_REGISTRY

from ..blocks.attention import run_blocks, shared_by_design
from ..blocks.designs import attentions, feed_forwards
from ..blocks.key_semantic import KeySemanticAttention, half_of_a_window
from ..blocks.layers import ChannelNorm, init_linear
from ..blocks.reach import Reach, joined, reach_of
from ..blocks.surroundings import any_size_wanted
from ..blocks.transformer import TransformerBlock
from ..ops.padding import pad_to_multiple
from ..runtime.randomness import drawn
from .arguments import check_picture
from .declaration import Declares
from .semanir_settings import ColumnarSettings, SharedSettings, UNetSettings

UNET_LEVELS = (0, 1, 2, 3, 2, 1, 0)  # times the picture was halved


class _KeySemanticNet(nn.Module):
    """The base of both nets: the colour mean, `top_k`, and how stages are made.

    A net's `settings_type` lists its arguments once; they are its constructor's signature too.  window_size,
    top_k, logits, similarity and backend are for key_semantic attention.

    Args:
        in_chans: Channels of input and output: 1 (gray) or 3.
        embed_dim: Channels of the first stage; the channels of each stage are a multiple of its num_heads.
        depths: Layers of each stage.
        num_heads: Attention heads of each stage.
        window_size: Side of a window in pixels; a window has up to N = window_size² tokens.
        mlp_ratio: Hidden channels per channel of a feed-forward.
        top_k: Keys that each query keeps, 1 to N, default N/2.
        train_top_k: Values from which one is drawn per training step (`RestorationModel`: the same on all
            ranks), elsewhere per training forward; empty: always top_k.
        img_range: The net works on (x - mean) * img_range.
        drop_path_rate: Drop path rate of the last layer, growing linearly from 0, in [0, 1).
        shift: Which windows are shifted: "alternate" (every other layer), "per_stage" (every other stage) or
            "none".
        norm: Whether a norm comes after ("post") or before ("pre") an attention or feed-forward.
        logits: "cosine" or "dot" of query and key.
        similarity: What ranks keys in the dictionary, "dot" or "cosine".
        backend: See `ops.key_semantic.key_semantic_attention`.
        attention: A design other than the paper's key_semantic (`basicsr list attentions`), one for all or a
            list, one per stage.
        ffn: A design other than the paper's mlp (`basicsr list ffns`), one for all or a list, one per stage.
        use_checkpoint: Whether to compute activations again in the backward pass instead of keeping them.

    Raises:
        TypeError: If there is no such argument.
        ValueError: If arguments are outside their range or do not fit together.
    """

    settings_type: ClassVar[type[SharedSettings]]
    mean: Tensor

    def __init_subclass__(cls):
        super().__init_subclass__()
        cls.__signature__ = inspect.signature(cls.settings_type)

    def __init__(self, **arguments: Any):
        super().__init__()
        known = inspect.signature(type(self)).parameters
        if unknown := [name for name in arguments if name not in known]:
            name = type(self).__name__
            raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{unknown[0]}'")
        self.settings = settings = self.settings_type(**arguments)
        self._step_top_k: Tensor | None = None
        self._top_k = half_of_a_window(settings.window_size) if settings.top_k is None else settings.top_k
        in_chans, stages = settings.in_chans, len(settings.depths)
        rgb_mean = (0.4488, 0.4371, 0.4040) if in_chans == 3 else (0.0,) * in_chans
        self.register_buffer("mean", torch.tensor(rgb_mean).view(1, -1, 1, 1), persistent=False)
        published = {
            name: getattr(settings, name) for name in ("window_size", "logits", "similarity", "backend")
        }
        self._attentions = attentions(settings.attention, [{"type": "key_semantic", **published}] * stages)
        self._feed_forwards = feed_forwards(settings.ffn, [{"type": "mlp"}] * stages)

    @property
    def top_k(self) -> int:
        """Keys that each query keeps; may be set on a live net and takes effect on the next forward."""
        return self._top_k

    @top_k.setter
    def top_k(self, value: int) -> None:
        self.settings.check_top_k("top_k", value)
        self._top_k = value

    @contextmanager
    def one_draw(self, *numbers: int) -> Iterator[None]:
        """Let all training forwards inside share one value of train_top_k.

        Args:
            numbers: What the value follows from, whole numbers of at least 0: seed and iteration.
        """
        if choices := self.settings.train_top_k:
            # a tensor: the compiler would build the net anew for each number
            self._step_top_k = torch.tensor(choices[drawn(len(choices), *numbers)], device="cpu")
        try:
            yield
        finally:
            self._step_top_k = None

    def _draw_top_k(self) -> int:
        """One value per training step or forward, the same for all stages; `top_k` otherwise."""
        choices = self.settings.train_top_k
        if not (self.training and choices):
            return self.top_k
        if self._step_top_k is not None:
            return int(self._step_top_k)
        return choices[int(torch.randint(len(choices), ()))]

    def _stage(self, index: int, dim: int) -> "SemanIRStage":
        settings = self.settings
        layers = [
            TransformerBlock(
                dim=dim,
                num_heads=settings.num_heads[index],
                shifted=shifted,
                ratio=settings.mlp_ratio,
                drop_path=rate,
                attention=self._attentions[index],
                ffn=self._feed_forwards[index],
                norm=settings.norm,
            )
            for shifted, rate in zip(settings.shifts(index), settings.drop_paths(index), strict=True)
        ]
        return SemanIRStage(layers, dim, settings.use_checkpoint)

    def _normalize(self, x: Tensor) -> Tensor:
        x = (x - self.mean) * self.settings.img_range
        return x.contiguous(memory_format=torch.channels_last)

    def _denormalize(self, x: Tensor) -> Tensor:
        return x / self.settings.img_range + self.mean


@ARCH_REGISTRY.register()
class SemanIR(_KeySemanticNet):
    """Columnar SemanIR for super-resolution: (B, in_chans, H, W) -> (B, in_chans, H upscale, W upscale), any
    H, W >= 1.

    The defaults are SemanIR-S x2 (11.870 M parameters); SemanIR-B has eight stages of eight layers (19.896
    M).  The paper does not state shift, norm, logits and similarity.

    Args:
        upscale: 3 or a power of two.
        num_feat: Channels of the upsampling head.
        others: See `_KeySemanticNet`.
    """

    settings_type = ColumnarSettings
    declares = Declares(
        scale="upscale", in_channels="in_chans", out_channels="in_chans", reach=lambda net: net._reach()
    )

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        settings = self.settings
        in_chans, dim, num_feat = settings.in_chans, settings.embed_dim, settings.num_feat
        self.conv_first = nn.Conv2d(in_chans, dim, 3, padding=1)
        self.norm_first = ChannelNorm(dim)
        self.stages = nn.ModuleList(self._stage(index, dim) for index in range(len(settings.depths)))
        self.norm_last = ChannelNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv_before_upsample = nn.Conv2d(dim, num_feat, 3, padding=1)
        self.upsample = Upsample(settings.upscale, num_feat)
        self.conv_last = nn.Conv2d(num_feat, in_chans, 3, padding=1)
        init_linear(self)

    def forward(self, x: Tensor) -> Tensor:
        check_picture(x, self.settings.in_chans)
        top_k = self._draw_top_k()
        shallow = self.conv_first(self._normalize(x))
        y = self.norm_first(shallow)
        for stage in self.stages:
            y = stage(y, top_k)
        y = self.conv_after_body(self.norm_last(y)) + shallow
        y = F.leaky_relu(self.conv_before_upsample(y))
        y = self._denormalize(self.conv_last(self.upsample(y)))
        return y.contiguous()  # losses and discriminators may `view` it

    def _reach(self) -> Reach:
        parts = [part for stage in self.stages for part in stage.reaches(scale=1)]
        # conv_first, conv_after_body, conv_before_upsample, conv_last; after upsampling a pixel is smaller
        convolutions = 4 + sum(isinstance(layer, nn.Conv2d) for layer in self.upsample)
        return joined([*parts, (Reach("halo", convolutions), 1)])


@ARCH_REGISTRY.register()
class SemanIRUNet(_KeySemanticNet):
    """U-shaped SemanIR for restoration at the input's size: (B, in_chans, H, W) -> same, any H, W >= 1.

    Seven stages in the order the data flows, of widths c, 2c, 4c, 8c, 4c, 2c, c (c = embed_dim); the skips
    are concatenated, the input is added to the output.  The defaults have the published 25.82 M parameters.

    Args:
        depths: Layers of each of the seven stages.
        num_heads: Attention heads of each of the seven stages.
        others: See `_KeySemanticNet`.
    """

    settings_type = UNetSettings
    declares = Declares(
        scale=1, in_channels="in_chans", out_channels="in_chans", reach=lambda net: net._reach()
    )

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        in_chans, dim = self.settings.in_chans, self.settings.embed_dim
        widths = [dim << level for level in UNET_LEVELS]
        self.conv_first = nn.Conv2d(in_chans, dim, 3, padding=1)
        self.stages = nn.ModuleList(self._stage(index, width) for index, width in enumerate(widths))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 4, stride=2, padding=1) for w in widths[:3])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[4:])
        self.fuses = nn.ModuleList(nn.Conv2d(2 * w, w, 3, padding=1) for w in widths[4:])
        self.conv_last = nn.Conv2d(dim, in_chans, 3, padding=1)
        init_linear(self)

    def forward(self, x: Tensor) -> Tensor:
        check_picture(x, self.settings.in_chans)
        h, w = x.shape[-2:]
        top_k = self._draw_top_k()
        y = self.conv_first(self._normalize(pad_to_multiple(x, 8, any_size=any_size_wanted())))
        skips = []
        for stage, down in zip(self.stages[:3], self.downs, strict=True):
            skips.append(stage(y, top_k))
            y = down(skips[-1])
        y = self.stages[3](y, top_k)
        for stage, up, fuse in zip(self.stages[4:], self.ups, self.fuses, strict=True):
            y = stage(fuse(torch.cat([up(y), skips.pop()], dim=1)), top_k)
        y = x + self.conv_last(y)[..., :h, :w] / self.settings.img_range
        return y.contiguous()  # losses and discriminators may `view` it

    def _reach(self) -> Reach:
        parts = [
            part
            for stage, level in zip(self.stages, UNET_LEVELS, strict=True)
            for part in stage.reaches(scale=1 << level)
        ]
        first_and_last = [(Reach("halo", 1), 1)] * 2
        down_and_fuse = [(Reach("halo", 1), 1 << level) for level in range(3)] * 2
        inside_a_pixel = [(Reach("halo", 7), 1)]  # a pixel of the last level is 8 x 8 of the input
        return joined(parts + first_and_last + down_and_fuse + inside_a_pixel, grid=8)


class SemanIRStage(nn.Module):
    """Layers that share key semantics, a convolution, and around both a residual: (B, C, H, W) -> same.

    Args:
        layers: Transformer blocks.
        dim: Channels C.
        use_checkpoint: Whether to compute activations again in the backward pass.
    """

    def __init__(self, layers: Sequence[TransformerBlock], dim: int, use_checkpoint: bool):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.use_checkpoint = use_checkpoint

    def forward(self, x: Tensor, top_k: int) -> Tensor:
        """Run the layers and the convolution: (B, C, H, W) -> same.

        Args:
            x: (B, C, H, W).
            top_k: Keys that each query keeps, for key-semantic attention only.
        """

        def share(attention: nn.Module, x: Tensor) -> Any:
            if isinstance(attention, KeySemanticAttention):
                return attention.share(x, top_k)
            return shared_by_design(attention, x)

        return x + self.conv(run_blocks(self.layers, x, share=share, use_checkpoint=self.use_checkpoint))

    def reaches(self, scale: int) -> list[tuple[Reach, int]]:
        """The reach of each design and of the convolution, each with the scale.

        Args:
            scale: How many of the input's pixels one of the stage's pixels is wide.
        """
        designs = [
            design for layer in self.layers for design in (layer.attn, layer.mlp) if design is not None
        ]
        return [*((reach_of(design), scale) for design in designs), (Reach("halo", 1), scale)]
