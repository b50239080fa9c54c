"""Gated feed-forwards of pictures (Restormer, section 3.2; AST, section 3.3).

B batch, C channels, h hidden channels, H x W picture
"""

from typing import Literal, get_args

from torch import Tensor

from ..choices import check_choice
from ..convolution import Layer
from ..memory import Memory, memory_for
from . import chunked, reference

Backend = Literal["auto", "reference", "chunked"]


def gated_dconv(
    x: Tensor,
    project_in: Layer,
    dwconv: Layer,
    project_out: Layer,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """project_out(gelu(a) * b) for [a, b] = depthwise(pointwise(x)), GELU by erf (Restormer, eq. 2).

    Args:
        x: Picture (B, C, H, W).
        project_in: Weight (2h, C, 1, 1) and bias (2h,) or None.
        dwconv: Weight (2h, 1, 3, 3) and bias (2h,) or None.
        project_out: Weight (C, h, 1, 1) and bias (C,) or None.
        backend: "reference" reads like the equation.  "chunked" makes a and b apart, each in one piece of
            memory or in chunks of channels, and keeps no GELU for the backward pass.  "auto" is "chunked".
        memory: What "chunked" may hold at a time and overwrite; default: as a training step.

    Returns:
        Picture (B, C, H, W).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return reference.gated_dconv(x, project_in, dwconv, project_out)
    return chunked.gated_dconv(x, project_in, dwconv, project_out, memory or memory_for(x.device))


def feature_refinement(
    x: Tensor,
    partial_conv: Tensor,
    linear1: Layer,
    dwconv: Layer,
    linear2: Layer,
    *,
    backend: Backend = "auto",
    memory: Memory | None = None,
) -> Tensor:
    """linear2(gelu(depthwise(a)) * b) for [a, b] = gelu(linear1([conv(x1), x2])), x1 the first quarter of the
    channels and x2 the rest (AST, eqs. 6 to 9).

    The paper's figure activates one half; the released weights want both.

    Args:
        x: Picture (B, C, H, W).
        partial_conv: Weight (C//4, C//4, 3, 3).
        linear1: Weight (2h, C) and bias (2h,) or None.
        dwconv: Weight (h, 1, 3, 3) and bias (h,) or None.
        linear2: Weight (C, h) and bias (C,) or None.
        backend: As `gated_dconv`; "chunked" never puts [conv(x1), x2] together.
        memory: As `gated_dconv`.

    Returns:
        Picture (B, C, H, W).

    Raises:
        ValueError: If the backend is unknown.
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return reference.feature_refinement(x, partial_conv, linear1, dwconv, linear2)
    return chunked.feature_refinement(
        x, partial_conv, linear1, dwconv, linear2, memory or memory_for(x.device)
    )
