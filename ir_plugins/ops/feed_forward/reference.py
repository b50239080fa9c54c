"""Gated feed-forwards as the papers' equations read.  Arguments as the functions of `ops.feed_forward`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..convolution import Layer, depthwise, pointwise


def gated_dconv(x: Tensor, project_in: Layer, dwconv: Layer, project_out: Layer) -> Tensor:
    """Restormer, equation 2."""
    a, b = depthwise(F.conv2d(x, *project_in), *dwconv).chunk(2, dim=1)
    return F.conv2d(F.gelu(a) * b, *project_out)


def feature_refinement(
    x: Tensor, partial_conv: Tensor, linear1: Layer, dwconv: Layer, linear2: Layer
) -> Tensor:
    """AST, equations 6 to 9."""
    quarter = len(partial_conv)
    joined = torch.cat([F.conv2d(x[:, :quarter], partial_conv, padding=1), x[:, quarter:]], dim=1)
    a, b = F.gelu(F.linear(joined.permute(0, 2, 3, 1), *linear1)).permute(0, 3, 1, 2).chunk(2, dim=1)
    return pointwise(F.gelu(depthwise(a, *dwconv)) * b, *linear2)
