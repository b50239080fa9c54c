"""Switch autocast off where half precision would be wrong."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager:
    """No autocast inside, on the device of x; the meta device, which computes nothing, has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
