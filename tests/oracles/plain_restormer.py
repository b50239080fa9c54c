"""Restormer written the plain way: what the fast net is timed against and compared with.

State-dict names, shapes and order are those of the published net.  There is no padding: it takes sides that
are multiples of 8.
"""

# B batch, C channels, H height, W width, E heads, D channels of a head
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
