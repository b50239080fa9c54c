"""AST written the plain way: what the fast net is timed against and compared with.

State-dict names, shapes and order are those of the published net.  There is no padding: it takes square
images whose side is a multiple of 128.
"""

# B batch, C channels, H height, W width, L = H * W, E heads, D channels of a head, M windows, N tokens of one
import math
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


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
