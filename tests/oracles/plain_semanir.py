"""SemanIR written the plain way: what the fast nets are compared with.

It follows the paper, and where the paper is silent the choices that `ir_plugins.archs.semanir_arch` states.
Windows are cells of pixels, cut by a ruler: nothing is rolled, padded or masked.  Each query gathers the keys
that it keeps.  State-dict names are those of the fast nets.
"""

# B batch, C channels, H height, W width, N pixels of a cell, E heads, D channels of a head, K kept keys
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainSemanIR(nn.Module):
    """Columnar, for super-resolution.  For nets without drop path."""

    def __init__(
        self,
        *,
        upscale: int = 2,
        in_chans: int = 3,
        embed_dim: int = 180,
        depths: tuple[int, ...] = (6,) * 6,
        num_heads: tuple[int, ...] = (6,) * 6,
        num_feat: int = 64,
        img_range: float = 1.0,
        **layer_options,
    ):
        super().__init__()
        self.img_range = img_range
        self.conv_first = conv3x3(in_chans, embed_dim)
        self.norm_first = nn.LayerNorm(embed_dim)
        self.stages = nn.ModuleList(
            Stage(embed_dim, heads, depth, index, **layer_options)
            for index, (depth, heads) in enumerate(zip(depths, num_heads, strict=True))
        )
        self.norm_last = nn.LayerNorm(embed_dim)
        self.conv_after_body = conv3x3(embed_dim, embed_dim)
        self.conv_before_upsample = conv3x3(embed_dim, num_feat)
        steps = [3] if upscale == 3 else [2] * int(math.log2(upscale))
        self.upsample = nn.Sequential(
            *(layer for s in steps for layer in (conv3x3(num_feat, num_feat * s**2), nn.PixelShuffle(s)))
        )
        self.conv_last = conv3x3(num_feat, in_chans)

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, in_chans, H, W) -> (B, in_chans, H upscale, W upscale)."""
        shallow = self.conv_first((image - mean_of(image)) * self.img_range)
        x = normed(self.norm_first, shallow)
        for stage in self.stages:
            x = stage(x)
        x = self.conv_after_body(normed(self.norm_last, x)) + shallow
        x = F.leaky_relu(self.conv_before_upsample(x), 0.01)
        return self.conv_last(self.upsample(x)) / self.img_range + mean_of(image)


class PlainSemanIRUNet(nn.Module):
    """U-shaped, at the input's size: three stages down, one at the bottom, three up."""

    def __init__(
        self,
        *,
        in_chans: int = 3,
        embed_dim: int = 60,
        depths: tuple[int, ...] = (4, 4, 6, 6, 6, 4, 4),
        num_heads: tuple[int, ...] = (2, 4, 8, 16, 8, 4, 2),
        img_range: float = 1.0,
        **layer_options,
    ):
        super().__init__()
        self.img_range = img_range
        c = embed_dim
        widths = [c, 2 * c, 4 * c, 8 * c, 4 * c, 2 * c, c]
        self.conv_first = conv3x3(in_chans, c)
        self.stages = nn.ModuleList(
            Stage(width, heads, depth, index, **layer_options)
            for index, (width, depth, heads) in enumerate(zip(widths, depths, num_heads, strict=True))
        )
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 4, stride=2, padding=1) for w in (c, 2 * c, 4 * c))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in (4 * c, 2 * c, c))
        self.fuses = nn.ModuleList(conv3x3(2 * w, w) for w in (4 * c, 2 * c, c))
        self.conv_last = conv3x3(c, in_chans)

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, in_chans, H, W) -> same, with H, W > 7 so that reflection can fill up multiples of 8."""
        h, w = image.shape[-2:]
        padded = F.pad(image, (0, -w % 8, 0, -h % 8), mode="reflect")
        x = self.conv_first((padded - mean_of(image)) * self.img_range)
        skip1 = self.stages[0](x)
        skip2 = self.stages[1](self.downs[0](skip1))
        skip3 = self.stages[2](self.downs[1](skip2))
        x = self.stages[3](self.downs[2](skip3))
        x = self.stages[4](self.fuses[0](torch.cat([self.ups[0](x), skip3], 1)))
        x = self.stages[5](self.fuses[1](torch.cat([self.ups[1](x), skip2], 1)))
        x = self.stages[6](self.fuses[2](torch.cat([self.ups[2](x), skip1], 1)))
        return image + (self.conv_last(x) / self.img_range)[:, :, :h, :w]


class Stage(nn.Module):
    """The key semantics of the stage's input serve all its layers."""

    def __init__(
        self,
        dim: int,
        heads: int,
        depth: int,
        index: int,
        window_size: int = 32,
        top_k: int | None = None,
        mlp_ratio: float = 2.0,
        shift: str = "alternate",
        norm: str = "post",
        logits: str = "cosine",
        similarity: str = "dot",
    ):
        super().__init__()
        self.window, self.similarity = window_size, similarity
        self.top_k = window_size**2 // 2 if top_k is None else top_k
        shifts = {"alternate": lambda i: i % 2 == 1, "per_stage": lambda i: index % 2 == 1}
        self.shifted = [shifts[shift](i) if shift in shifts else False for i in range(depth)]
        self.layers = nn.ModuleList(
            Layer(dim, heads, window_size, mlp_ratio, norm, logits) for _ in range(depth)
        )
        self.conv = conv3x3(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> same."""
        entering = x
        semantics = {shifted: self.key_semantics(entering, shifted) for shifted in set(self.shifted)}
        for layer, shifted in zip(self.layers, self.shifted, strict=True):
            x = layer(x, semantics[shifted])
        return entering + self.conv(x)

    def key_semantics(self, x: Tensor, shifted: bool) -> list[tuple[Tensor, list[Tensor]]]:
        """For each cell its pixels (N, 2), and for each picture which keys (N, K) its queries keep."""
        found = []
        for pixels in cells(x.shape[2], x.shape[3], self.window, shifted):
            tokens = x.detach()[:, :, pixels[:, 0], pixels[:, 1]].mT  # (B, N, C)
            if self.similarity == "cosine":
                tokens = tokens / tokens.norm(dim=-1, keepdim=True)
            count = min(self.top_k, len(pixels))
            found.append((pixels, [(one @ one.T).topk(count).indices for one in tokens]))
        return found


def cells(h: int, w: int, window: int, shifted: bool) -> list[Tensor]:
    """The pixels (N, 2) of each cell that a ruler of `window` pixels cuts, shifted by half a window."""

    def ruler(length: int) -> list[range]:
        offset = window // 2 if shifted and length > window else 0
        starts = ([0] if offset else []) + list(range(offset, length, window))
        return [range(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]

    return [
        torch.tensor([(y, x) for y in rows for x in columns]) for rows in ruler(h) for columns in ruler(w)
    ]


class Layer(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, ratio: float, norm: str, logits: str):
        super().__init__()
        self.is_post = norm == "post"
        self.norm1 = nn.LayerNorm(dim)
        self.attn = KeySemanticAttention(dim, heads, window, logits)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * ratio))

    def forward(self, x: Tensor, semantics: list[tuple[Tensor, list[Tensor]]]) -> Tensor:
        if self.is_post:
            x = x + normed(self.norm1, self.attn(x, semantics))
            return x + normed(self.norm2, self.mlp(x))
        x = x + self.attn(normed(self.norm1, x), semantics)
        return x + self.mlp(normed(self.norm2, x))


class KeySemanticAttention(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, logits: str):
        super().__init__()
        self.heads = heads
        self.logit_scale = nn.Parameter(torch.zeros(heads, 1, 1)) if logits == "cosine" else None
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.position_bias = PositionBias(heads, window)

    def forward(self, x: Tensor, semantics: list[tuple[Tensor, list[Tensor]]]) -> Tensor:
        """x: (B, C, H, W) -> same."""
        out = torch.empty_like(x)
        for pixels, kept_of_pictures in semantics:
            y, z = pixels.T
            for picture, kept in enumerate(kept_of_pictures):
                out[picture, :, y, z] = self.attend(x[picture, :, y, z].T, pixels, kept).T
        return out

    def attend(self, tokens: Tensor, pixels: Tensor, kept: Tensor) -> Tensor:
        """One cell of one picture.  tokens: (N, C), pixels: (N, 2), kept: (N, K) -> (N, C)."""
        q, k, v = self.qkv(tokens).view(len(tokens), 3, self.heads, -1).unbind(1)  # each (N, E, D)
        keys, values = k[kept], v[kept]  # (N, K, E, D)
        if self.logit_scale is None:
            logits = (q[:, None] * keys).sum(-1) / q.shape[-1] ** 0.5  # (N, K, E)
        else:
            cosine = F.cosine_similarity(q[:, None], keys, dim=-1, eps=1e-24)
            logits = cosine * self.logit_scale.clamp(max=math.log(100)).exp().flatten()
        bias = self.position_bias(pixels[:, None] - pixels[kept])  # (N, K, E)
        attention = (logits + bias).softmax(1)
        return self.proj((attention[..., None] * values).sum(1).flatten(1))


class PositionBias(nn.Module):
    """Swin V2's continuous position bias: 16 sigmoid of a small net of log-spaced offsets."""

    def __init__(self, heads: int, window: int):
        super().__init__()
        self.window = window
        self.fc1 = nn.Linear(2, 512)
        self.fc2 = nn.Linear(512, heads, bias=False)

    def forward(self, offset: Tensor) -> Tensor:
        """offset: (..., 2) in pixels, query less key -> (..., E)."""
        scaled = offset.to(self.fc1.weight) * 8 / (self.window - 1)
        spread = scaled.sign() * torch.log2(1 + scaled.abs()) / math.log2(8)
        return 16 * torch.sigmoid(self.fc2(torch.relu(self.fc1(spread))))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.movedim(1, -1)))).movedim(-1, 1)


def conv3x3(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)


def normed(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """x: (B, C, H, W); normalises the channels of each pixel."""
    return norm(x.movedim(1, -1)).movedim(-1, 1)


def mean_of(image: Tensor) -> Tensor:
    """DIV2K's mean colour as SR nets have it; gray pictures are not shifted."""
    mean = [0.4488, 0.4371, 0.4040] if image.shape[1] == 3 else [0.0] * image.shape[1]
    return torch.tensor(mean).to(image).view(1, -1, 1, 1)
