"""Gated feed-forwards of pictures (Restormer, section 3.2; AST, section 3.3).

B batch, C channels, h hidden channels, H x W picture
"""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import Layer, channel_chunks, depthwise, part, pointwise, pointwise_sum

Backend = Literal["auto", "reference", "chunked"]
BACKENDS = ("auto", "reference", "chunked")


def gated_dconv(
    x: Tensor, project_in: Layer, dwconv: Layer, project_out: Layer, *, backend: Backend = "auto"
) -> Tensor:
    """Project(gelu(a) * b) for [a, b] = depthwise(pointwise(x)), GELU by erf (Restormer, eq. 2).

    x: (B, C, H, W) -> same.  Weights: project_in (2h, C, 1, 1), dwconv (2h, 1, 3, 3), project_out (C, h, 1,
    1).

    backend: "reference" reads like the equation.  "chunked" makes a and b apart, each in one piece of memory,
    and without gradients in chunks of channels.  "auto" is "chunked".
    """
    _check(backend)
    if backend == "reference":
        a, b = depthwise(F.conv2d(x, *project_in), *dwconv).chunk(2, dim=1)
        return F.conv2d(F.gelu(a) * b, *project_out)
    hidden = project_out[0].shape[1]

    def gated() -> Iterator[tuple[Tensor, Tensor]]:
        for first in channel_chunks(x, 0, hidden):
            second = slice(hidden + first.start, hidden + first.stop)
            a, b = (depthwise(pointwise(x, *part(project_in, c)), *part(dwconv, c)) for c in (first, second))
            yield gelu_gate(a, b), project_out[0][:, first]

    return pointwise_sum(gated(), project_out[1])


def feature_refinement(
    x: Tensor,
    partial_conv: Tensor,
    linear1: Layer,
    dwconv: Layer,
    linear2: Layer,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Linear2(gelu(depthwise(a)) * b) for [a, b] = gelu(linear1([conv(x1), x2])), x1 the first quarter of the
    channels and x2 the rest (AST, eqs. 6 to 9).

    The paper's figure activates one half; the released weights want both.

    x: (B, C, H, W) -> same.  Weights: partial_conv (C//4, C//4, 3, 3), linear1 (2h, C), dwconv (h, 1, 3, 3),
    linear2 (C, h).  backend: as `gated_dconv`; [conv(x1), x2] is never put together.
    """
    _check(backend)
    quarter = len(partial_conv)
    convolved, rest = F.conv2d(x[:, :quarter], partial_conv, padding=1), x[:, quarter:]
    if backend == "reference":
        joined = torch.cat([convolved, rest], dim=1).permute(0, 2, 3, 1)
        a, b = F.gelu(F.linear(joined, *linear1)).permute(0, 3, 1, 2).chunk(2, dim=1)
        return pointwise(F.gelu(depthwise(a, *dwconv)) * b, *linear2)

    hidden, rest = linear2[0].shape[1], rest.to(convolved.dtype)  # once, where autocast made them differ

    def expand(channels: slice) -> Tensor:
        weight, bias = part(linear1, channels)
        return pointwise_sum([(convolved, weight[:, :quarter]), (rest, weight[:, quarter:])], bias)

    def gated() -> Iterator[tuple[Tensor, Tensor]]:
        for first in channel_chunks(x, 0, hidden):
            b = expand(slice(hidden + first.start, hidden + first.stop))
            a = depthwise(_gelu(expand(first)), *part(dwconv, first))
            yield gelu_gate(a, b, activate_gate=True), linear2[0][:, first]

    return pointwise_sum(gated(), linear2[1])


def gelu_gate(x: Tensor, gate: Tensor, *, activate_gate: bool = False) -> Tensor:
    """gelu(x) * gate, or gelu(x) * gelu(gate); without gradients it overwrites both.

    With gradients nothing but x and gate is kept for the backward pass.
    """
    if torch.is_grad_enabled():
        return _GeluGate.apply(x, gate, activate_gate)
    return _gelu(x).mul_(_gelu(gate) if activate_gate else gate)


class _GeluGate(torch.autograd.Function):
    """Autograd would keep the GELUs too: a third of what a feed-forward keeps."""

    @staticmethod
    def forward(ctx, x: Tensor, gate: Tensor, activate_gate: bool) -> Tensor:
        ctx.save_for_backward(x, gate)
        ctx.activate_gate = activate_gate
        return F.gelu(x).mul_(F.gelu(gate) if activate_gate else gate)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gate = ctx.saved_tensors
        backward = torch.ops.aten.gelu_backward
        active = F.gelu(gate) if ctx.activate_gate else gate
        grad_x = backward(grad * active, x)
        grad_gate = F.gelu(x).mul_(grad)
        return grad_x, backward(grad_gate, gate) if ctx.activate_gate else grad_gate, None


def _gelu(x: Tensor) -> Tensor:
    """GELU by erf, in place where no gradient needs x."""
    return F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


def _check(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"{backend=} is unknown; choose {', '.join(BACKENDS)}")
