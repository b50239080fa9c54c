"""Attention across channels as Restormer's equation 1 reads.

B batch, n heads of d channels, P pixels
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..convolution import Layer, depthwise

EPS = 1e-12  # of F.normalize, as published


def reference(x: Tensor, qkv: Layer, qkv_dwconv: Layer, temperature: Tensor, project_out: Layer) -> Tensor:
    """Arguments as `channel_attention`."""
    h, w = x.shape[2:]
    q, k, v = depthwise(F.conv2d(x, *qkv), *qkv_dwconv).chunk(3, dim=1)
    q, k, v = (t.flatten(2).unflatten(1, (len(temperature), -1)) for t in (q, k, v))  # (B, n, d, P)
    # fp32: the sums of squares overflow float16
    q, k = (F.normalize(t.to(torch.promote_types(t.dtype, torch.float32)), dim=-1, eps=EPS) for t in (q, k))
    attention = (q @ k.mT * temperature).softmax(-1).to(v.dtype)  # (B, n, d, d)
    y = (attention @ v).flatten(1, 2).unflatten(2, (h, w))
    return F.conv2d(y, *project_out)
