"""Restormer (CVPR 2022, arXiv 2111.09881): attention across channels in a U-shaped net.

B batch, C channels, H x W picture; pictures travel as (B, C, H, W) in channels-last memory.  Parameters
and arguments are named as in the published checkpoints and option files.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from basicsr.utils.registry import ARCH_REGISTRY

from ..blocks.attention import run_blocks
from ..blocks.designs import Designs, Maker, attentions, feed_forwards
from ..blocks.layers import BiasFreeNorm, ChannelNorm, Pointwise
from ..blocks.reach import Reach, joined, reach_of
from ..blocks.surroundings import any_size_wanted
from ..ops.choices import check_choice
from ..ops.padding import crop, pad_to_multiple
from .arguments import check_layers, check_picture, checked
from .declaration import Declares

NormType = Literal["WithBias", "BiasFree"]
STAGES = (
    "encoder_level1",
    "encoder_level2",
    "encoder_level3",
    "latent",
    "decoder_level3",
    "decoder_level2",
    "decoder_level1",
    "refinement",
)
LEVELS = (0, 1, 2, 3, 2, 1, 0, 0)  # times the picture was halved


@ARCH_REGISTRY.register()
class Restormer(nn.Module):
    """Restoration at the input's size: (B, inp_channels, H, W) -> (B, out_channels, H, W), any H, W >= 1.

    Sides are reflected to multiples of 8 inside, as the published tests do.  The defaults have the published
    26,126,644 parameters (deraining, deblurring); denoising takes LayerNorm_type BiasFree.

    Args:
        inp_channels: Channels of the input, default 3; equal to out_channels unless dual_pixel_task.
        out_channels: Channels of the output, default 3.
        dim: Channels of the first level, doubled at each of four; even, default 48.
        num_blocks: Blocks of each of the four levels.
        num_refinement_blocks: Blocks at full size before the output, default 4.
        heads: Attention heads of each of the four levels.
        ffn_expansion_factor: Hidden channels per channel of a feed-forward, default 2.66.
        bias: Whether the convolutions in blocks and of the output have biases, default false.
        LayerNorm_type: "WithBias", or "BiasFree" (see `blocks.layers.BiasFreeNorm`).
        dual_pixel_task: Whether two views of three channels each come in and one picture goes out; then the
            input is not added to the output.
        attention: Ours: a design other than the paper's mdta (`basicsr list attentions`), one for all or a
            list for the eight stages in the order the data flows.
        ffn: Ours: a design other than the paper's gdfn (`basicsr list ffns`), likewise.
        use_checkpoint: Ours: whether to compute activations again in the backward pass instead of keeping
            them, default false.

    Raises:
        ValueError: If arguments are outside their range or do not fit together.
    """

    declares = Declares(
        scale=1, in_channels="inp_channels", out_channels="out_channels", reach=lambda net: net._reach()
    )

    @checked
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
        check_layers(num_blocks=num_blocks, num_refinement_blocks=num_refinement_blocks)
        if dim % 2:
            raise ValueError(
                f"{dim=} must be even: a step down halves the channels before it unshuffles pixels"
            )
        check_choice("LayerNorm_type", LayerNorm_type, get_args(NormType))
        if inp_channels != out_channels and not dual_pixel_task:
            raise ValueError(
                f"{inp_channels=} and {out_channels=} must be equal: the input is added to the output; "
                "make them equal or set dual_pixel_task"
            )
        self.inp_channels, self.use_checkpoint = inp_channels, use_checkpoint
        designs = zip(
            attentions(attention, [{"type": "mdta", "bias": bias}] * 8),
            feed_forwards(ffn, [{"type": "gdfn", "bias": bias}] * 8),
            strict=True,
        )
        design_of = dict(zip(STAGES, designs, strict=True))

        def stage(name: str, depth: int, width: int, num_heads: int) -> nn.Sequential:
            attn, feed_forward = design_of[name]
            blocks = (
                RestormerBlock(
                    dim=width,
                    num_heads=num_heads,
                    shifted=index % 2 == 1,
                    ffn_expansion_factor=ffn_expansion_factor,
                    norm=LayerNorm_type,
                    attention=attn,
                    ffn=feed_forward,
                )
                for index in range(depth)
            )
            return nn.Sequential(*blocks)

        w1, w2, w3, w4 = (dim << level for level in range(4))
        n1, n2, n3, n4 = num_blocks
        h1, h2, h3, h4 = heads
        self.patch_embed = PatchEmbed(inp_channels, w1)
        self.encoder_level1 = stage("encoder_level1", n1, w1, h1)
        self.down1_2 = Downsample(w1)
        self.encoder_level2 = stage("encoder_level2", n2, w2, h2)
        self.down2_3 = Downsample(w2)
        self.encoder_level3 = stage("encoder_level3", n3, w3, h3)
        self.down3_4 = Downsample(w3)
        self.latent = stage("latent", n4, w4, h4)
        self.up4_3 = Upsample(w4)
        self.reduce_chan_level3 = Pointwise(2 * w3, w3, bias=bias)
        self.decoder_level3 = stage("decoder_level3", n3, w3, h3)
        self.up3_2 = Upsample(w3)
        self.reduce_chan_level2 = Pointwise(2 * w2, w2, bias=bias)
        self.decoder_level2 = stage("decoder_level2", n2, w2, h2)
        self.up2_1 = Upsample(w2)
        # the first level's skip is not reduced again: both stages at full size work on twice its channels
        self.decoder_level1 = stage("decoder_level1", n1, 2 * w1, h1)
        self.refinement = stage("refinement", num_refinement_blocks, 2 * w1, h1)
        self.skip_conv = Pointwise(w1, 2 * w1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(2 * w1, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        check_picture(x, self.inp_channels)
        size = (x.shape[-2], x.shape[-1])
        any_size = any_size_wanted()
        padded = pad_to_multiple(x, 8, any_size=any_size).contiguous(memory_format=torch.channels_last)
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
        return crop(y, size, any_size=any_size).contiguous()  # losses and discriminators may `view` it

    def _run(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        return run_blocks(stage, x, use_checkpoint=self.use_checkpoint)

    def _reach(self) -> Reach:
        parts = [
            (reach_of(design), 1 << level)
            for name, level in zip(STAGES, LEVELS, strict=True)
            for block in self.get_submodule(name)
            for design in (block.attn, block.ffn)
            if design is not None
        ]
        first_and_last = [(Reach("halo", 1), 1)] * 2
        down = [(Reach("halo", 1), 1 << level) for level in range(3)]
        up = [(Reach("halo", 1), 1 << level) for level in (3, 2, 1)]
        inside_a_pixel = [(Reach("halo", 7), 1)]  # a pixel of the last level is 8 x 8 of the input
        return joined(parts + first_and_last + down + up + inside_a_pixel, grid=8)


class RestormerBlock(nn.Module):
    """Attention and feed-forward, each after a norm and with a residual: (B, C, H, W) -> same.

    Args:
        dim: Channels C.
        num_heads: Heads of the attention.
        shifted: Whether windows start half a window later.
        ffn_expansion_factor: Hidden channels of the feed-forward per channel.
        norm: "WithBias" or "BiasFree".
        attention: Makes the attention, see `blocks.designs.attentions`; None: the block has none.
        ffn: Makes the feed-forward, see `blocks.designs.feed_forwards`.
    """

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
            self.norm1 = RestormerNorm(dim, norm)
            self.attn = attention(dim=dim, num_heads=num_heads, shifted=shifted)
        self.norm2 = RestormerNorm(dim, norm)
        self.ffn = ffn(dim=dim, ratio=ffn_expansion_factor)

    def forward(self, x: Tensor, shared: Any) -> Tensor:
        """x: (B, C, H, W) -> same."""
        if self.attn is not None:
            x = x + self.attn(self.norm1(x), shared)
        return x + self.ffn(self.norm2(x))


class RestormerNorm(nn.Module):
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
