"""A network with information distillation: part of each layer's features is kept, the rest refined."""

import torch
from torch import Tensor, nn

from ir_plugins import Declares

from basicsr.utils.registry import ARCH_REGISTRY


class Distillation(nn.Module):
    """Four convolutions; each but the last puts a quarter of its channels aside, and a 1x1 fuses them.

    Args:
        dim: Channels of the input and the output, a multiple of 4.
    """

    def __init__(self, *, dim: int):
        super().__init__()
        self.kept = dim // 4
        rest = dim - self.kept
        self.first = nn.Conv2d(dim, dim, 3, padding=1)
        self.middle = nn.ModuleList(nn.Conv2d(rest, dim, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(rest, self.kept, 3, padding=1)
        self.fuse = nn.Conv2d(dim, dim, 1)
        self.act = nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> same."""
        aside, rest = [], x
        for layer in (self.first, *self.middle):
            kept, rest = self.act(layer(rest)).split([self.kept, x.shape[1] - self.kept], dim=1)
            aside.append(kept)
        return x + self.fuse(torch.cat([*aside, self.last(rest)], dim=1))


@ARCH_REGISTRY.register()
class DistillationNet(nn.Module):
    """Super-resolution by a chain of distillation blocks: (B, C, H, W) -> (B, C, upscale H, upscale W).

    Args:
        channels: Of the pictures.
        dim: Channels inside, a multiple of 4.
        blocks: How many distillation blocks follow each other.
        upscale: How many times larger the output is.
    """

    declares = Declares(scale="upscale", in_channels="channels", out_channels="channels")

    def __init__(self, *, channels: int = 3, dim: int = 32, blocks: int = 3, upscale: int = 2):
        super().__init__()
        if dim < 4 or dim % 4:
            raise ValueError(f"{dim=} must be a multiple of 4")
        self.enter = nn.Conv2d(channels, dim, 3, padding=1)
        self.body = nn.Sequential(*[Distillation(dim=dim) for _ in range(blocks)])
        self.leave = nn.Conv2d(dim, channels * upscale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, upscale H, upscale W)."""
        features = self.enter(x)
        return self.shuffle(self.leave(features + self.body(features)))
