"""The one place that looks at the gradient mode and at compilers; blocks and nets pass the result on."""

import torch
from torch import Tensor

from ..ops.memory import Memory, memory_for


def memory_here(x: Tensor) -> Memory:
    """The memory that an op may take in this forward pass.

    Args:
        x: A tensor on the device of the pass.
    """
    return memory_for(x.device, gradients=gradients_wanted(), compiled=torch.compiler.is_compiling())


def gradients_wanted() -> bool:
    """Whether a backward pass may follow this forward pass."""
    return torch.is_grad_enabled()


def any_size_wanted() -> bool:
    """Whether this forward pass is recorded for pictures of any size, as an exporter does."""
    return torch.compiler.is_exporting()
