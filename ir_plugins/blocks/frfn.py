"""Feature refinement feed-forward (AST, CVPR 2024)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.gating import gelu_gate
from .layers import depthwise


class FeatureRefinement(nn.Module):
    """A convolution of a quarter of the channels, then a gated pair of halves, one of them after a depthwise
    convolution: (B, C, H, W) -> same.  Paper: AST, section 3.3.

    Complexity: 3 H W C² ratio.

    dim: channels, at least 4.  ratio: the halves are int(dim ratio) channels wide.
    """

    def __init__(self, *, dim: int, ratio: float = 4.0):
        super().__init__()
        if dim < 4:
            raise ValueError(f"frfn convolves a quarter of its channels: {dim=} must be at least 4")
        hidden, self.quarter = int(dim * ratio), dim // 4
        # in lists, since the released weights number them
        self.linear1 = nn.Sequential(nn.Linear(dim, 2 * hidden))
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))
        self.partial_conv3 = nn.Conv2d(self.quarter, self.quarter, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        convolved = self.partial_conv3(x[:, : self.quarter]).permute(0, 2, 3, 1)
        rest = x[:, self.quarter :].permute(0, 2, 3, 1)
        linear, dwconv = self.linear1[0], self.dwconv[0]
        # cat([convolved, rest]) @ W is a sum of two products; each half of the output lies in one piece
        value, gate = (
            F.gelu(
                F.linear(convolved, weight[:, : self.quarter], bias)
                + F.linear(rest, weight[:, self.quarter :])
            )
            for weight, bias in zip(linear.weight.chunk(2), linear.bias.chunk(2), strict=True)
        )  # both halves are activated: the released weights want it, the paper's figure shows one
        value = depthwise(value.permute(0, 3, 1, 2), dwconv.weight, dwconv.bias)
        return self.linear2(gelu_gate(value.permute(0, 2, 3, 1), gate)).permute(0, 3, 1, 2)
