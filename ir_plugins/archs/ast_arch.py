"""AST (CVPR 2024): adaptive sparse attention in a U-shaped net whose encoder has none.

B batch, C channels, H x W picture; pictures travel as (B, C, H, W) in channels-last memory.  Parameters,
misspelt ones included, and arguments are named as in the released checkpoints.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from basicsr.utils.registry import ARCH_REGISTRY

from ..blocks.attention import run_blocks
from ..blocks.designs import Designs, Published, attentions, feed_forwards
from ..blocks.layers import check_rates, init_linear
from ..blocks.reach import Reach, joined, reach_of
from ..blocks.surroundings import any_size_wanted
from ..blocks.transformer import TransformerBlock
from ..ops.choices import check_choice
from ..ops.padding import crop, pad_to_multiple
from .arguments import check_layers, check_picture, checked
from .declaration import Declares

STAGES = (*(f"encoderlayer_{i}" for i in range(4)), "conv", *(f"decoderlayer_{i}" for i in range(4)))
WIDTHS = (1, 2, 4, 8, 16, 16, 8, 4, 2)  # times embed_dim; the decoder keeps its skips, so it is twice as wide
LEVELS = (0, 1, 2, 3, 4, 3, 2, 1, 0)  # times the picture was halved
FEED_FORWARD = {"ffn": "mlp", "mlp": "mlp", "leff": "leff", "frfn": "frfn"}


@ARCH_REGISTRY.register()
class AST(nn.Module):
    """Restoration at the input's size: (B, dd_in, H, W) -> (B, in_chans, H, W), any H, W >= 1.

    Where the published net runs (squares whose sides are multiples of 16 win_size) the output is the same.
    Elsewhere odd sides are reflected by a pixel before each halving, and windows are filled up with zeros.
    AST-B is embed_dim 32, depths [1, 2, 8, 8, 2, 8, 8, 2, 1], token_mlp frfn (65,362,455 parameters); AST-T
    embed_dim 16, depths all 2.

    Args:
        img_size: The training size, in pixels, at least 16.  It only decides whether a level is so small
            (img_size / 16 at the bottom) that a window would cover it: such a level takes one window of its
            own size and no shift, at any size of the input.  Released tests build the net with 128, which
            leaves the bottom unshifted, though the weights were trained with 256 and more: same weights,
            different output.
        in_chans: Channels of the output.
        dd_in: Channels of the input, added to the output if there are three.
        embed_dim: Channels of the first level.
        depths: Blocks of each of nine stages in the order the data flows.
        num_heads: Attention heads of each of the nine stages.
        win_size: Side of a window, in pixels.
        mlp_ratio: Hidden channels per channel of a feed-forward.
        qkv_bias: Whether the attention's projections have biases.
        qk_scale: Factor of the attention's queries, default 1/√d for heads of d channels.
        drop_rate: Dropout rate after the first convolution and in attention and mlp, in [0, 1).
        attn_drop_rate: Dropout rate of attention weights, in [0, 1).
        drop_path_rate: Rate at which residual branches are dropped at the deepest level, in [0, 1).
        token_projection: "linear", the only one that is published.
        token_mlp: "leff", "frfn" (the paper's), "ffn" or "mlp" (both plain).
        mask_padding: Ours: whether the zeros that fill up windows are masked, default true, since they are no
            part of the picture and the net never met them in training.
        attention: Ours: a design instead of the paper's assa (`basicsr list attentions`), one for all stages
            that have any or a list of nine.
        ffn: Ours: a design instead of token_mlp (`basicsr list ffns`), one for all or a list of nine.
        use_checkpoint: Ours: whether to compute activations again in the backward pass instead of keeping
            them, default false.

    Raises:
        ValueError: If arguments are outside their range or do not fit together.
    """

    declares = Declares(scale=1, in_channels="dd_in", out_channels="in_chans", reach=lambda net: net._reach())

    @checked
    def __init__(
        self,
        *,
        img_size: int = 256,
        in_chans: int = 3,
        dd_in: int = 3,
        embed_dim: int = 32,
        depths: Sequence[int] = (2, 2, 2, 2, 2, 2, 2, 2, 2),
        num_heads: Sequence[int] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        win_size: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        token_projection: Literal["linear"] = "linear",
        token_mlp: Literal["leff", "frfn", "ffn", "mlp"] = "leff",
        mask_padding: bool = True,
        attention: Designs = None,
        ffn: Designs = None,
        use_checkpoint: bool = False,
    ):
        super().__init__()
        if len(depths) != 9 or len(num_heads) != 9:
            raise ValueError(
                f"depths={list(depths)} and num_heads={list(num_heads)} must have nine entries: "
                "four stages down, the bottom, four up"
            )
        if min(in_chans, dd_in, embed_dim, win_size, *depths, *num_heads) < 1:
            raise ValueError(
                f"{in_chans=}, {dd_in=}, {embed_dim=}, {win_size=}, depths={list(depths)} and "
                f"num_heads={list(num_heads)} must be at least 1"
            )
        check_layers(depths=depths)
        if img_size < 16:
            raise ValueError(f"{img_size=} must be at least 16 pixels: the net halves its input four times")
        if dd_in == 3 and in_chans != 3:
            raise ValueError(f"{dd_in=} and {in_chans=} must be equal: the input is added to the output")
        check_rates(drop_rate=drop_rate, attn_drop_rate=attn_drop_rate, drop_path_rate=drop_path_rate)
        check_choice("token_projection", token_projection, ["linear"])
        check_choice("token_mlp", token_mlp, FEED_FORWARD)
        self.dd_in, self.has_residual, self.use_checkpoint = dd_in, dd_in == 3, use_checkpoint

        def published_attention(level: int) -> Published:
            design = {"type": "assa", "qkv_bias": qkv_bias, "qk_scale": qk_scale, "attn_drop": attn_drop_rate}
            design |= {"proj_drop": drop_rate, "mask_padding": mask_padding, "window_size": win_size}
            if img_size >> level <= win_size:
                design |= {"window_size": img_size >> level, "shifted": False}
            return design

        published_ffn = {
            "type": FEED_FORWARD[token_mlp],
            **({"drop": drop_rate} if token_mlp in ("ffn", "mlp") else {}),
        }
        makers = zip(
            attentions(attention, [None] * 4 + [published_attention(level) for level in LEVELS[4:]]),
            feed_forwards(ffn, [published_ffn] * 9),
            strict=True,
        )
        widths = [embed_dim * width for width in WIDTHS]
        stages = {
            name: ASTStage(
                dim=width,
                num_heads=heads,
                drop_path=rates,
                ratio=mlp_ratio,
                attention=attn,
                ffn=feed_forward,
            )
            for name, width, heads, rates, (attn, feed_forward) in zip(
                STAGES, widths, num_heads, _drop_path_rates(depths, drop_path_rate), makers, strict=True
            )
        }
        self.input_proj = InputProj(dd_in, embed_dim)
        self.pos_drop = nn.Dropout(drop_rate)
        self.output_proj = OutputProj(2 * embed_dim, in_chans)
        for level in range(4):
            self.add_module(f"encoderlayer_{level}", stages[f"encoderlayer_{level}"])
            # spelt as in the released weights
            self.add_module(f"dowsample_{level}", Downsample(widths[level]))
        self.conv = stages["conv"]
        for step in range(4):
            self.add_module(f"upsample_{step}", Upsample(widths[4 + step], embed_dim << (3 - step)))
            self.add_module(f"decoderlayer_{step}", stages[f"decoderlayer_{step}"])
        init_linear(self)

    def forward(self, x: Tensor) -> Tensor:
        check_picture(x, self.dd_in)
        y = self.pos_drop(self.input_proj(x.contiguous(memory_format=torch.channels_last)))
        skips = []
        for level in range(4):
            skips.append(self._run(f"encoderlayer_{level}", y))
            y = self.get_submodule(f"dowsample_{level}")(skips[-1])
        y = self._run("conv", y)
        for step in range(4):
            skip = skips.pop()
            up = self.get_submodule(f"upsample_{step}")(y)
            up = crop(up, (skip.shape[2], skip.shape[3]), any_size=any_size_wanted())
            y = self._run(f"decoderlayer_{step}", torch.cat([up, skip], dim=1))
        y = self.output_proj(y)
        y = x + y if self.has_residual else y
        return y.contiguous()  # losses and discriminators may `view` it

    def _run(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(name)(x, self.use_checkpoint)

    def _reach(self) -> Reach:
        parts = [
            (reach_of(design), 1 << level)
            for name, level in zip(STAGES, LEVELS, strict=True)
            for block in self.get_submodule(name).blocks
            for design in (block.attn, block.mlp)
            if design is not None
        ]
        first_and_last = [(Reach("halo", 1), 1)] * 2
        down = [(Reach("halo", 1), 1 << level) for level in range(4)]
        # a pixel of the last level stands for 16 x 16 of the input
        inside_a_pixel = [(Reach("halo", 15), 1)]
        return joined(parts + first_and_last + down + inside_a_pixel, grid=16)


def _drop_path_rates(depths: Sequence[int], most: float) -> list[list[float]]:
    """The rate of each block, by stage: it grows through the encoder, then stays, then falls."""
    down, up = sum(depths[:4]), sum(depths[5:])
    rates = [most * i / max(1, down - 1) for i in range(down)] + [most] * depths[4]
    rates += [most * i / max(1, up - 1) for i in reversed(range(up))]
    return [rates[sum(depths[:i]) : sum(depths[: i + 1])] for i in range(9)]


class ASTStage(nn.Module):
    """The blocks of one level; every other one shifts its windows.

    Args:
        drop_path: The rate of each block.
        block_options: The other arguments of `TransformerBlock`.
    """

    def __init__(self, *, drop_path: Sequence[float], **block_options):
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(shifted=index % 2 == 1, drop_path=rate, **block_options)
            for index, rate in enumerate(drop_path)
        )

    def forward(self, x: Tensor, use_checkpoint: bool) -> Tensor:
        return run_blocks(self.blocks, x, use_checkpoint=use_checkpoint)


class InputProj(nn.Module):
    """(B, dd_in, H, W) -> (B, C, H, W)."""

    def __init__(self, dd_in: int, dim: int):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dd_in, dim, 3, padding=1), nn.LeakyReLU(0.01))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class OutputProj(nn.Module):
    """(B, C, H, W) -> (B, in_chans, H, W)."""

    def __init__(self, dim: int, in_chans: int):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, in_chans, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, 2C, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim, 2 * dim, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(pad_to_multiple(x, 2, any_size=any_size_wanted()))


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, out, 2H, 2W)."""

    def __init__(self, dim: int, out: int):
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(dim, out, 2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.deconv(x)
