"""Restore the buffers that a skipped step has changed."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class BufferBackups:
    """Copies of what a forward pass may change in a net's buffers, such as the statistics of norms.

    A module names in `constant_buffers` the buffers that no forward pass writes to, such as index tables of
    position biases; they are not copied.

    Args:
        net: The net; its buffers may be replaced or moved between two steps.
    """

    def __init__(self, net: nn.Module):
        self.net = net
        self.copies: list[tuple[Tensor, Tensor]] = []

    def renew(self) -> None:
        """Copy what a forward pass may change."""
        self.copies = [(buffer, buffer.detach().clone()) for buffer in _changing(self.net)]

    def restore(self) -> None:
        """Give the buffers the values of the last `renew`."""
        with torch.inference_mode():  # where a validation has made a buffer, it can be written only so
            for buffer, copy in self.copies:
                buffer.copy_(copy)


def _changing(net: nn.Module) -> Iterator[Tensor]:
    for module in net.modules():
        constant = getattr(module, "constant_buffers", ())
        for name, buffer in module.named_buffers(recurse=False):
            if name not in constant:
                yield buffer
