"""Restore the buffers that a skipped step has changed."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Backup(NamedTuple):
    """A copy of a tensor, and `_version` of the tensor when it was copied."""

    tensor: Tensor
    copy: Tensor
    version: int | None


class BufferBackups:
    """Copies of what a forward pass may change in a net's buffers, such as the statistics of norms.

    Tables of whole numbers, such as the indices of position biases, are copied once, and again only after a
    write, so that a step does not copy them.  All other buffers are copied for every step:
    BatchNorm's kernels write into its statistics without counting, and so do exchanges between ranks.

    Args:
        net: The net; its buffers may be replaced or moved between two steps.
    """

    def __init__(self, net: nn.Module):
        self.net = net
        self.backups: list[Backup] = []

    def renew(self) -> None:
        """Copy what may have changed since the last call."""
        known = {id(backup.tensor): backup for backup in self.backups}
        self.backups = [_renewed(buffer, known.get(id(buffer))) for buffer in self.net.buffers()]

    def restore(self) -> None:
        """Give the buffers the values of the last `renew`."""
        with torch.inference_mode():  # a buffer that a validation has made can be written only so
            for tensor, copy, version in self.backups:
                if version is None or version != _version(tensor):
                    tensor.copy_(copy)


def _renewed(buffer: Tensor, backup: Backup | None) -> Backup:
    version = _version(buffer)
    if backup is not None and version is not None and backup.version == version:
        return backup
    return Backup(buffer, buffer.detach().clone(), version)


def _version(buffer: Tensor) -> int | None:
    """torch's count of writes into a table of whole numbers; None for buffers that are always copied."""
    is_table = buffer.numel() > 1 and not buffer.is_floating_point() and not buffer.is_complex()
    return buffer._version if is_table and not buffer.is_inference() else None
