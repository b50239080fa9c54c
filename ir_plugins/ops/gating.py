"""Gated activation of feed-forwards.

Tensors of any equal shape
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def gelu_gate(x: Tensor, gate: Tensor) -> Tensor:
    """gelu(x) * gate, with the exact (erf) GELU.  Neither operand's GELU is kept for the backward pass."""
    return _GeluGate.apply(x, gate) if torch.is_grad_enabled() else F.gelu(x).mul_(gate)


def gelu_gate_reference(x: Tensor, gate: Tensor) -> Tensor:
    """The equation as it reads."""
    return F.gelu(x) * gate


class _GeluGate(torch.autograd.Function):
    """Autograd would keep gelu(x) for the gradient of `gate`: a third of what a feed-forward keeps."""

    @staticmethod
    def forward(ctx, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return F.gelu(x).mul_(gate)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, gate = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(grad * gate, x), F.gelu(x).mul_(grad)
