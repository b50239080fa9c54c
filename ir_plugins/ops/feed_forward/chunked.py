"""Gated feed-forwards that never hold all hidden channels where memory is short.

h hidden channels
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..convolution import Layer, channel_chunks, depthwise, part, pointwise, pointwise_sum
from ..memory import Memory


def gated_dconv(x: Tensor, project_in: Layer, dwconv: Layer, project_out: Layer, memory: Memory) -> Tensor:
    """Arguments as `ops.feed_forward.gated_dconv`."""
    hidden = project_out[0].shape[1]

    def gated() -> Iterator[tuple[Tensor, Tensor]]:
        for first in channel_chunks(x, 0, hidden, memory):
            second = slice(hidden + first.start, hidden + first.stop)
            a, b = (depthwise(pointwise(x, *part(project_in, c)), *part(dwconv, c)) for c in (first, second))
            yield gelu_gate(a, b, overwrite=memory.overwrite), project_out[0][:, first]

    return pointwise_sum(gated(), project_out[1], eager=memory.eager)


def feature_refinement(
    x: Tensor, partial_conv: Tensor, linear1: Layer, dwconv: Layer, linear2: Layer, memory: Memory
) -> Tensor:
    """Arguments as `ops.feed_forward.feature_refinement`."""
    quarter, hidden = len(partial_conv), linear2[0].shape[1]
    convolved = F.conv2d(x[:, :quarter], partial_conv, padding=1)
    rest = x[:, quarter:].to(convolved.dtype)  # once, in case autocast made them differ

    def expand(channels: slice) -> Tensor:
        weight, bias = part(linear1, channels)
        terms = [(convolved, weight[:, :quarter]), (rest, weight[:, quarter:])]
        return pointwise_sum(terms, bias, eager=memory.eager)

    def gated() -> Iterator[tuple[Tensor, Tensor]]:
        for first in channel_chunks(x, 0, hidden, memory):
            b = expand(slice(hidden + first.start, hidden + first.stop))
            a = depthwise(_gelu(expand(first), memory.overwrite), *part(dwconv, first))
            gate = gelu_gate(a, b, activate_gate=True, overwrite=memory.overwrite)
            yield gate, linear2[0][:, first]

    return pointwise_sum(gated(), linear2[1], eager=memory.eager)


def gelu_gate(x: Tensor, gate: Tensor, *, activate_gate: bool = False, overwrite: bool = False) -> Tensor:
    """gelu(x) * gate, or gelu(x) * gelu(gate); the backward pass keeps only x and gate.

    Args:
        x: Any shape.
        gate: The same shape.
        activate_gate: Whether the gate passes a GELU too.
        overwrite: Whether x and gate may be overwritten; there is no backward pass then.
    """
    if overwrite:
        return _gelu(x, True).mul_(_gelu(gate, True) if activate_gate else gate)
    return _GeluGate.apply(x, gate, activate_gate)


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


def _gelu(x: Tensor, overwrite: bool) -> Tensor:
    """GELU by erf."""
    return torch.ops.aten.gelu_(x) if overwrite else F.gelu(x)
