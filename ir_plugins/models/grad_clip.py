"""Gradient clipping, for any optimizer and any training loop."""

from torch import nn
from torch.optim import Optimizer


def clip_before_step(optimizer: Optimizer, max_norm: float) -> None:
    """From now on every step first scales the gradients down to a common L2 norm of `max_norm` at most.

    Raises ValueError where max_norm is not above 0.
    """
    if not max_norm > 0:
        raise ValueError(f"{max_norm=} must be above 0; to train without clipping leave it out")

    def clip(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, max_norm)

    optimizer.register_step_pre_hook(clip)
