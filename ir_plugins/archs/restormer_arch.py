"""Restormer (CVPR 2022, arXiv 2111.09881): attention across channels in a U-shaped net.

B batch, C channels, H x W picture; pictures travel as (B, C, H, W) in channels-last memory.  Names of
parameters and arguments are those of the published checkpoints and option files.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from basicsr.utils.registry import ARCH_REGISTRY

from ..blocks.attention import run_blocks
from ..blocks.designs import Designs, Maker, attentions, feed_forwards
from ..blocks.layers import BiasFreeNorm, ChannelNorm, Pointwise
from ..ops.padding import crop, pad_to_multiple
from .declaration import Declares

NormType = Literal["WithBias", "BiasFree"]


@ARCH_REGISTRY.register()
class Restormer(nn.Module):
    """Restoration at the input's size: (B, inp_channels, H, W) -> (B, out_channels, H, W), any H, W >= 1.

    Sides are reflected to multiples of 8 inside, as the published tests do.  The defaults have the published
    26,126,644 parameters (deraining, deblurring); denoising takes LayerNorm_type BiasFree.

    inp_channels, out_channels: equal unless dual_pixel_task.  dim: channels of the first level, doubled at
    each of four.  num_blocks, heads: one entry per level.  num_refinement_blocks: at full size, before the
    output.  ffn_expansion_factor: hidden channels per channel.  bias: of the convolutions in blocks and of
    the output.  LayerNorm_type: "WithBias", or "BiasFree" (see `blocks.layers.BiasFreeNorm`).
    dual_pixel_task: two views of three channels each in, one picture out; the input is not added to the
    output. Ours: attention, ffn: designs other than the paper's mdta and gdfn (`basicsr list attentions`,
    `ffns`), one for all or a list for the eight stages in the order the data flows.  use_checkpoint: compute
    activations again in the backward pass instead of keeping them.
    """

    declares = Declares(scale=1, in_channels="inp_channels", out_channels="out_channels")

    def __init__(
        self,
        *,
        inp_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormType = "WithBias",
        dual_pixel_task: bool = False,
        attention: Designs = None,
        ffn: Designs = None,
        use_checkpoint: bool = False,
    ):
        super().__init__()
        if len(num_blocks) != 4 or len(heads) != 4:
            raise ValueError(
                f"num_blocks={list(num_blocks)} and heads={list(heads)} must have four entries, one per level"
            )
        if min(inp_channels, out_channels, dim, *num_blocks, num_refinement_blocks) < 1:
            raise ValueError(
                f"{inp_channels=}, {out_channels=}, {dim=}, num_blocks={list(num_blocks)} and "
                f"{num_refinement_blocks=} must be at least 1"
            )
        if dim % 2:
            raise ValueError(
                f"{dim=} must be even: a step down halves the channels before it unshuffles pixels"
            )
        if LayerNorm_type not in get_args(NormType):
            raise ValueError(f"{LayerNorm_type=} is unknown; choose {' or '.join(get_args(NormType))}")
        if inp_channels != out_channels and not dual_pixel_task:
            raise ValueError(
                f"{inp_channels=} and {out_channels=} must be equal: the input is added to the output; "
                "make them equal or set dual_pixel_task"
            )
        self.use_checkpoint = use_checkpoint
        stages = iter(
            zip(
                attentions(attention, [{"type": "mdta", "bias": bias}] * 8),
                feed_forwards(ffn, [{"type": "gdfn", "bias": bias}] * 8),
                strict=True,
            )
        )

        def stage(depth: int, width: int, num_heads: int) -> nn.Sequential:
            attn, feed_forward = next(stages)
            return nn.Sequential(
                *[
                    TransformerBlock(
                        dim=width,
                        num_heads=num_heads,
                        shifted=index % 2 == 1,
                        ffn_expansion_factor=ffn_expansion_factor,
                        norm=LayerNorm_type,
                        attention=attn,
                        ffn=feed_forward,
                    )
                    for index in range(depth)
                ]
            )

        w1, w2, w3, w4 = (dim << level for level in range(4))
        n1, n2, n3, n4 = num_blocks
        h1, h2, h3, h4 = heads
        self.patch_embed = PatchEmbed(inp_channels, w1)
        self.encoder_level1 = stage(n1, w1, h1)
        self.down1_2 = Downsample(w1)
        self.encoder_level2 = stage(n2, w2, h2)
        self.down2_3 = Downsample(w2)
        self.encoder_level3 = stage(n3, w3, h3)
        self.down3_4 = Downsample(w3)
        self.latent = stage(n4, w4, h4)
        self.up4_3 = Upsample(w4)
        self.reduce_chan_level3 = Pointwise(2 * w3, w3, bias=bias)
        self.decoder_level3 = stage(n3, w3, h3)
        self.up3_2 = Upsample(w3)
        self.reduce_chan_level2 = Pointwise(2 * w2, w2, bias=bias)
        self.decoder_level2 = stage(n2, w2, h2)
        self.up2_1 = Upsample(w2)
        # the first level's skip is not reduced again: both stages at full size work on twice its channels
        self.decoder_level1 = stage(n1, 2 * w1, h1)
        self.refinement = stage(num_refinement_blocks, 2 * w1, h1)
        self.skip_conv = Pointwise(w1, 2 * w1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(2 * w1, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        padded = pad_to_multiple(x, 8).contiguous(memory_format=torch.channels_last)
        shallow = self.patch_embed(padded)
        level1 = self._run(self.encoder_level1, shallow)
        level2 = self._run(self.encoder_level2, self.down1_2(level1))
        level3 = self._run(self.encoder_level3, self.down2_3(level2))
        y = self._run(self.latent, self.down3_4(level3))
        y = self.reduce_chan_level3(torch.cat([self.up4_3(y), level3], dim=1))
        y = self._run(self.decoder_level3, y)
        y = self.reduce_chan_level2(torch.cat([self.up3_2(y), level2], dim=1))
        y = self._run(self.decoder_level2, y)
        y = self._run(self.decoder_level1, torch.cat([self.up2_1(y), level1], dim=1))
        y = self._run(self.refinement, y)
        if self.skip_conv is not None:
            y = self.output(y + self.skip_conv(shallow))
        else:
            y = self.output(y) + padded
        return crop(y, size).contiguous()  # losses and discriminators may `view` it

    def _run(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        return run_blocks(stage, x, use_checkpoint=self.use_checkpoint)


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each after a norm and with a residual: (B, C, H, W) -> same."""

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        shifted: bool,
        ffn_expansion_factor: float,
        norm: NormType,
        attention: Maker | None,
        ffn: Maker,
    ):
        super().__init__()
        self.norm1 = self.attn = None
        if attention is not None:
            self.norm1 = Norm(dim, norm)
            self.attn = attention(dim=dim, num_heads=num_heads, shifted=shifted)
        self.norm2 = Norm(dim, norm)
        self.ffn = ffn(dim=dim, ratio=ffn_expansion_factor)

    def forward(self, x: Tensor, shared) -> Tensor:
        if self.attn is not None:
            x = x + self.attn(self.norm1(x), shared)
        return x + self.ffn(self.norm2(x))


class Norm(nn.Module):
    """One of the two norms, under the name that it has in checkpoints."""

    def __init__(self, dim: int, kind: NormType):
        super().__init__()
        self.body = BiasFreeNorm(dim) if kind == "BiasFree" else ChannelNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class PatchEmbed(nn.Module):
    """The first convolution: (B, inp_channels, H, W) -> (B, dim, H, W)."""

    def __init__(self, inp_channels: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(inp_channels, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, 2C, H/2, W/2)."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C/2, 2H, 2W)."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
