"""Restormer and AST written the plain way: what the fast nets are timed against and compared with.

State-dict names, shapes and order are those of the published nets.  There is no padding: Restormer takes
sides that are multiples of 8, AST square images whose side is a multiple of 128.
"""

# B batch, C channels, H height, W width, L = H * W, E heads, D channels of a head, M windows, N tokens of one
import math
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class PlainRestormer(nn.Module):
    """Restormer: Efficient Transformer for High-Resolution Image Restoration (CVPR 2022)."""

    def __init__(
        self,
        *,
        inp_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: tuple[int, ...] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: tuple[int, ...] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: str = "WithBias",
        dual_pixel_task: bool = False,
    ):
        super().__init__()

        def blocks(width: int, level: int, depth: int) -> nn.Sequential:
            args = (width, heads[level], ffn_expansion_factor, bias, LayerNorm_type)
            return nn.Sequential(*[RestormerBlock(*args) for _ in range(depth)])

        self.patch_embed = PatchEmbed(inp_channels, dim)
        self.encoder_level1 = blocks(dim, 0, num_blocks[0])
        self.down1_2 = Down(dim)
        self.encoder_level2 = blocks(2 * dim, 1, num_blocks[1])
        self.down2_3 = Down(2 * dim)
        self.encoder_level3 = blocks(4 * dim, 2, num_blocks[2])
        self.down3_4 = Down(4 * dim)
        self.latent = blocks(8 * dim, 3, num_blocks[3])
        self.up4_3 = Up(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = blocks(4 * dim, 2, num_blocks[2])
        self.up3_2 = Up(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = blocks(2 * dim, 1, num_blocks[1])
        self.up2_1 = Up(2 * dim)
        self.decoder_level1 = blocks(
            2 * dim, 0, num_blocks[0]
        )  # no reduction: 2 * dim, with the heads of level 1
        self.refinement = blocks(2 * dim, 0, num_refinement_blocks)
        self.skip_conv = nn.Conv2d(dim, 2 * dim, 1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(2 * dim, out_channels, 3, padding=1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, inp_channels, H, W) -> (B, out_channels, H, W)."""
        embedded = self.patch_embed(image)
        skip1 = self.encoder_level1(embedded)
        skip2 = self.encoder_level2(self.down1_2(skip1))
        skip3 = self.encoder_level3(self.down2_3(skip2))
        x = self.latent(self.down3_4(skip3))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), skip3], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), skip2], 1)))
        x = self.decoder_level1(torch.cat([self.up2_1(x), skip1], 1))
        x = self.refinement(x)
        if self.skip_conv is not None:
            return self.output(x + self.skip_conv(embedded))
        return self.output(x) + image


class RestormerBlock(nn.Module):
    def __init__(self, dim: int, heads: int, expansion: float, bias: bool, norm: str):
        super().__init__()
        self.norm1 = ChannelNorm(dim, norm)
        self.attn = ChannelAttention(dim, heads, bias)
        self.norm2 = ChannelNorm(dim, norm)
        self.ffn = GatedFeedForward(dim, expansion, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class ChannelAttention(nn.Module):
    """MDTA: the channels of a head attend to each other."""

    def __init__(self, dim: int, heads: int, bias: bool):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        q, k, v = (
            rearrange(t, "b (e d) h w -> b e d (h w)", e=self.heads)
            for t in self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        )
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attention = (q @ k.mT * self.temperature).softmax(-1)  # (B, E, D, D)
        return self.project_out(rearrange(attention @ v, "b e d (h w) -> b (e d) h w", h=h, w=w))


class GatedFeedForward(nn.Module):
    """GDFN."""

    def __init__(self, dim: int, expansion: float, bias: bool):
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class ChannelNorm(nn.Module):
    """Normalises the channels of each pixel."""

    def __init__(self, dim: int, kind: str):
        super().__init__()
        if kind not in ("WithBias", "BiasFree"):
            raise ValueError(f"LayerNorm_type={kind!r} is neither 'WithBias' nor 'BiasFree'")
        self.body = nn.LayerNorm(dim) if kind == "WithBias" else BiasFreeNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x.permute(0, 2, 3, 1))  # (B, H, W, C)
        return x.permute(0, 3, 1, 2).contiguous()


class BiasFreeNorm(nn.Module):
    """Divides by the standard deviation, and does not subtract the mean."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5) * self.weight


class PatchEmbed(nn.Module):
    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Down(nn.Module):
    """(B, C, H, W) -> (B, 2C, H/2, W/2)."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Up(nn.Module):
    """(B, C, H, W) -> (B, C/2, 2H, 2W)."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class PlainAST(nn.Module):
    """Adapt or Perish: Adaptive Sparse Transformer with Attentive Feature Refinement (CVPR 2024).

    For `eval()`: `drop_path_rate` is accepted, so that options fit, and there is no drop path.
    """

    def __init__(
        self,
        *,
        img_size: int = 256,
        in_chans: int = 3,
        dd_in: int = 3,
        embed_dim: int = 32,
        depths: tuple[int, ...] = (2,) * 9,
        num_heads: tuple[int, ...] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        win_size: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        token_projection: str = "linear",
        token_mlp: str = "leff",
    ):
        super().__init__()
        if token_projection != "linear":
            raise ValueError(f"{token_projection=}: only 'linear' exists")
        self.dd_in = dd_in
        dim = embed_dim

        def stage(index: int, width: int, level: int, attend: bool) -> Stage:
            side = img_size >> level
            window, shift = (side, 0) if side <= win_size else (win_size, win_size // 2)

            def block(shift: int) -> ASTBlock:
                drops = (drop_rate, attn_drop_rate)
                attn = (
                    WindowAttention(width, window, num_heads[index], qkv_bias, qk_scale, *drops)
                    if attend
                    else None
                )
                return ASTBlock(width, attn, shift, feed_forward(token_mlp, width, mlp_ratio, drop_rate))

            return Stage([block(shift if i % 2 else 0) for i in range(depths[index])])

        self.input_proj = InputProj(dd_in, dim)
        self.output_proj = OutputProj(2 * dim, in_chans)
        for i in range(4):
            setattr(self, f"encoderlayer_{i}", stage(i, dim << i, i, attend=False))
            setattr(self, f"dowsample_{i}", Downsample(dim << i, dim << (i + 1)))  # spelled as published
        self.conv = stage(4, 16 * dim, 4, attend=True)
        for i in range(4):
            level = 3 - i
            setattr(self, f"upsample_{i}", Upsample(16 * dim if i == 0 else dim << (5 - i), dim << level))
            setattr(self, f"decoderlayer_{i}", stage(5 + i, dim << (level + 1), level, attend=True))
        self.apply(init_weights)

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, dd_in, H, W) -> (B, in_chans, H, W), with H = W."""
        x = self.input_proj(image)  # (B, L, C)
        skips = []
        for i in range(4):
            x = getattr(self, f"encoderlayer_{i}")(x)
            skips.append(x)
            x = getattr(self, f"dowsample_{i}")(x)  # (B, L/4, 2C)
        x = self.conv(x)
        for i in range(4):
            x = torch.cat([getattr(self, f"upsample_{i}")(x), skips.pop()], -1)
            x = getattr(self, f"decoderlayer_{i}")(x)
        y = self.output_proj(x)
        return image + y if self.dd_in == 3 else y


class Stage(nn.Module):
    def __init__(self, blocks: list[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class ASTBlock(nn.Module):
    """x: (B, L, C) -> same.  Without attention, in the encoder, it is its feed-forward alone."""

    def __init__(self, dim: int, attn: "WindowAttention | None", shift: int, mlp: nn.Module):
        super().__init__()
        self.shift = shift
        if attn is not None:
            self.norm1 = nn.LayerNorm(dim)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        if self.attn is not None:
            x = x + self.attend(self.norm1(x), self.attn)
        return x + self.mlp(self.norm2(x))

    def attend(self, x: Tensor, attn: "WindowAttention") -> Tensor:
        side, window = math.isqrt(x.shape[1]), attn.window
        x = x.unflatten(1, (side, side))  # (B, H, W, C)
        mask = None
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
            mask = shift_mask(x, window, self.shift)
        x = attn(partition(x, window), mask)  # (B*M, N, C)
        x = reverse(x, window, side)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x.flatten(1, 2)


def partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B*M, N, C)."""
    return rearrange(x, "b (gh s) (gw t) c -> (b gh gw) (s t) c", s=window, t=window)


def reverse(x: Tensor, window: int, side: int) -> Tensor:
    """(B*M, N, C) -> (B, H, W, C)."""
    grid = side // window
    return rearrange(x, "(b gh gw) (s t) c -> b (gh s) (gw t) c", gh=grid, gw=grid, s=window, t=window)


def shift_mask(x: Tensor, window: int, shift: int) -> Tensor:
    """-100 between tokens that only the roll made neighbours.  x: (B, H, W, C) -> (M, N, N)."""
    regions = x.new_zeros(1, *x.shape[1:3], 1)
    bands = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate(product(bands, bands)):
        regions[:, rows, columns] = number
    regions = partition(regions, window).squeeze(-1)  # (M, N)
    difference = regions.unsqueeze(1) - regions.unsqueeze(2)  # (M, N, N)
    return torch.zeros_like(difference).masked_fill(difference != 0, -100.0)


class WindowAttention(nn.Module):
    """ASSA: a learnt blend of softmax attention and squared-ReLU attention, in windows."""

    def __init__(
        self,
        dim: int,
        window: int,
        heads: int,
        qkv_bias: bool,
        qk_scale: float | None,
        drop: float,
        attn_drop: float,
    ):
        super().__init__()
        self.window = window
        self.heads = heads
        self.scale = qk_scale or (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.w = nn.Parameter(torch.ones(2))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = LinearProjection(dim, qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(drop)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (B*M, N, C), mask: (M, N, N) -> (B*M, N, C)."""
        q, k, v = (rearrange(t, "b n (e d) -> b e n d", e=self.heads) for t in self.qkv(x))
        bias = self.relative_position_bias_table[self.relative_position_index]  # (N, N, E)
        logits = q * self.scale @ k.mT + bias.permute(2, 0, 1)  # (B*M, E, N, N)
        if mask is not None:
            logits = (logits.unflatten(0, (-1, len(mask))) + mask.unsqueeze(1)).flatten(0, 1)
        dense, sparse = self.w.softmax(0)
        attention = self.attn_drop(dense * logits.softmax(-1) + sparse * F.relu(logits) ** 2)
        return self.proj_drop(self.proj(rearrange(attention @ v, "b e n d -> b n (e d)")))


def relative_position_index(window: int) -> Tensor:
    """Which row of the bias table each pair of tokens reads: (N, N)."""
    at = torch.arange(window)
    y, x = torch.meshgrid(at, at, indexing="ij")
    y, x = y.flatten(), x.flatten()
    down, right = y[:, None] - y + window - 1, x[:, None] - x + window - 1
    return down * (2 * window - 1) + right


class LinearProjection(nn.Module):
    def __init__(self, dim: int, bias: bool):
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, v = self.to_kv(x).chunk(2, dim=-1)
        return self.to_q(x), k, v


def feed_forward(kind: str, dim: int, ratio: float, drop: float) -> nn.Module:
    hidden = int(dim * ratio)
    if kind == "frfn":
        return FRFN(dim, hidden)
    if kind == "leff":
        return LeFF(dim, hidden)
    if kind in ("ffn", "mlp"):
        return Mlp(dim, hidden, drop)
    raise ValueError(f"token_mlp={kind!r} is none of 'frfn', 'leff', 'ffn', 'mlp'")


class FRFN(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        # both halves of the gate pass the first GELU, as in the published weights
        self.linear1 = nn.Sequential(nn.Linear(dim, 2 * hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))
        self.touched = dim // 4
        self.partial_conv3 = nn.Conv2d(self.touched, self.touched, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = to_image(x)
        x = torch.cat([self.partial_conv3(x[:, : self.touched]), x[:, self.touched :]], 1)
        gate, value = self.linear1(to_tokens(x)).chunk(2, dim=-1)
        return self.linear2(to_tokens(self.dwconv(to_image(gate))) * value)


class LeFF(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(to_tokens(self.dwconv(to_image(self.linear1(x)))))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int, drop: float):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class InputProj(nn.Module):
    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(channels, dim, 3, padding=1), nn.LeakyReLU(0.01))

    def forward(self, x: Tensor) -> Tensor:
        return to_tokens(self.proj(x))


class OutputProj(nn.Module):
    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(to_image(x))


class Downsample(nn.Module):
    def __init__(self, dim: int, out: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim, out, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return to_tokens(self.conv(to_image(x)))


class Upsample(nn.Module):
    def __init__(self, dim: int, out: int):
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(dim, out, 2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return to_tokens(self.deconv(to_image(x)))


def to_image(x: Tensor) -> Tensor:
    """(B, L, C) -> (B, C, H, W), square."""
    side = math.isqrt(x.shape[1])
    return x.mT.unflatten(2, (side, side)).contiguous()


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, L, C)."""
    return x.flatten(2).mT.contiguous()


def init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
