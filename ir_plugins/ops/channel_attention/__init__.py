"""Attention across channels (Restormer, section 3.1).

B batch, C channels, H x W picture, n heads of d channels
"""

from typing import Literal, get_args

from torch import Tensor

from ..choices import check_choice
from ..convolution import Layer
from ..memory import Memory, memory_for
from .folded import folded
from .reference import reference

Backend = Literal["auto", "reference", "folded"]


def channel_attention(
    x: Tensor,
    qkv: Layer,
    qkv_dwconv: Layer,
    temperature: Tensor,
    project_out: Layer,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """Project(softmax(q̂ k̂ᵀ temperature) v) for q, k, v = depthwise(pointwise(x)), with q̂ and k̂ of unit
    length along the pixels (eq. 1).

    Args:
        x: Picture (B, C, H, W).
        qkv: Weight (3C, C, 1, 1) and bias (3C,) or None.
        qkv_dwconv: Weight (3C, 1, 3, 3) and bias (3C,) or None.
        temperature: Scale of the logits of each head, (n, 1, 1).
        project_out: Weight (C, C, 1, 1) and bias (C,) or None.
        backend: "reference" reads like the equation.  "folded" divides the d x d logits by the lengths
            instead of normalising pictures, and multiplies the projection into the C x C attention, so that v
            is read once.  "auto" is "folded".
        memory: What "folded" may hold at a time; default: as a training step.

    Returns:
        Picture (B, C, H, W).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return reference(x, qkv, qkv_dwconv, temperature, project_out)
    return folded(x, qkv, qkv_dwconv, temperature, project_out, memory or memory_for(x.device))
