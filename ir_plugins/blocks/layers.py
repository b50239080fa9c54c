"""Small layers that every block uses.  Pictures are (B, C, H, W) in channels-last memory."""

from typing import Any

import torch
from torch import Tensor, nn

from ..ops.convolution import Layer, pointwise


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: (B, C, H, W) -> same.  It copies nothing in channels-last
    memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        # statistics are float32 in any case; autocast would make the whole result so
        return super().forward(x.permute(0, 2, 3, 1)).to(x.dtype).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Drop a residual branch of a sample in training (Huang et al., ECCV 2016).

    Args:
        rate: Probability, in [0, 1).
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return x
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class BiasFreeNorm(nn.Module):
    """x / sqrt(var + eps) * weight over the channels of each pixel: (B, C, H, W) -> same.  Paper: Restormer.

    The variance is about the mean, but the mean is not subtracted: neither LayerNorm nor RMSNorm.

    Args:
        dim: Channels C.
        eps: Added to the variance, default 1e-5.
    """

    def __init__(self, dim: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # fp32: squares overflow float16 from 256 on
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = (precise.var(1, keepdim=True, correction=0) + self.eps).rsqrt()
        return x * scale.to(x.dtype) * self.weight[:, None, None].to(x.dtype)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution: (B, C, H, W) -> (B, C', H, W), computed as a matrix product over the pixels.

    Args:
        in_channels: C.
        out_channels: C'.
        bias: Whether it has a bias.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool):
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def weights(layer: Any) -> Layer:
    """Weight and bias of a convolution or linear layer, as `ops` take them."""
    return layer.weight, layer.bias


def hidden_channels(dim: int, ratio: float) -> int:
    """int(dim ratio), rounded down as in the published nets.

    Args:
        dim: Channels.
        ratio: Hidden channels per channel.

    Raises:
        ValueError: If no channels are left, or more than fit anywhere.
    """
    if not dim * ratio >= 1:
        raise ValueError(f"{ratio=} leaves no hidden channels of {dim=}; take a larger one")
    if dim * ratio >= 2**24:
        raise ValueError(f"{ratio=} gives more hidden channels of {dim=} than fit anywhere; lower it")
    return int(dim * ratio)


def init_linear(net: nn.Module) -> None:
    """Draw the weights of all linear layers from a normal distribution of deviation 0.02; biases become 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_rates(**rates: float) -> None:
    """Check dropout rates.

    Args:
        rates: Rates by their names.

    Raises:
        ValueError: If a rate lies outside [0, 1).
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name}={rate} must lie in [0, 1)")
