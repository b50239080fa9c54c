"""One way to run a net on pictures.

B pictures of a batch, C channels, H x W picture, s the net's scale
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from ..archs.declaration import declaration
from ..ops.padding import pad_to_multiple

Precision = Literal["fp32", "bf16", "fp16"]
FORMATS: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Restorer:
    """A net as a function from pictures to pictures.

    Each call puts the net into eval mode and restores the modes afterwards.  It records no gradients, and it
    runs a compiled net uncompiled, because each new size would be compiled anew.

    Args:
        net: Maps (B, C, H, W) to (B, C', sH, sW).  It is used, not copied.
        device: Where the net runs; default: where it is now.
        precision: Number format of the forward pass, "fp32", "bf16" or "fp16"; weights keep theirs.
        size_multiple: The input's sides are padded by reflection to multiples of it; default: what the net
            declares, if that does not depend on its arguments.
        max_batch: The most pictures that go through the net at once; default: no limit.

    Raises:
        ValueError: An argument is out of its range, or `size_multiple` is missing for a net that needs one.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "fp32",
        size_multiple: int | None = None,
        max_batch: int | None = None,
    ):
        if precision != "fp32" and precision not in FORMATS:
            raise ValueError(f"{precision=}; use one of fp32, {', '.join(FORMATS)}")
        for name, value in (("size_multiple", size_multiple), ("max_batch", max_batch)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self.net = net if device is None else net.to(device)
        self.format = FORMATS.get(precision)
        self.size_multiple = _declared_multiple(net) if size_multiple is None else size_multiple
        self.max_batch = max_batch

    def __call__(self, x: Tensor) -> Tensor:
        """Restore pictures.

        Args:
            x: Pictures (B, C, H, W) in the net's value range, H, W >= 1, on any device.

        Returns:
            Pictures (B, C', sH, sW) of the same type and on the same device as `x`.

        Raises:
            ValueError: The net's output is smaller than its input.
        """
        device = next((t.device for t in chain(self.net.parameters(), self.net.buffers())), x.device)
        padded = pad_to_multiple(x.to(device), self.size_multiple)
        with _evaluating(self.net), torch.autocast(device.type, self.format, enabled=self.format is not None):
            parts = [self.net(part) for part in padded.split(self.max_batch or len(padded))]
            output = parts[0] if len(parts) == 1 else torch.cat(parts)
            scale = _scale(padded, output)
            h, w = x.shape[-2:]
            return output[..., : h * scale, : w * scale].to(x)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.inference_mode(), _not_compiled():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _not_compiled() -> AbstractContextManager:
    """No compiled net inside; there is none before the compiler is imported, which takes a second."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _scale(x: Tensor, y: Tensor) -> int:
    """How many times the output is larger than the input; a net may leave its own padding uncropped.

    Raises:
        ValueError: The output is smaller than the input.
    """
    (h, w), (h_out, w_out) = x.shape[-2:], y.shape[-2:]
    scale = min(h_out // h, w_out // w)
    if scale < 1:
        raise ValueError(f"the net makes {h_out}x{w_out} pixels of {h}x{w}; it must not make fewer")
    return scale


def _declared_multiple(net: nn.Module) -> int:
    declared = declaration(type(net)).size_multiple
    if isinstance(declared, int):
        return declared
    name = type(net).__name__
    raise ValueError(
        f"the size multiple of {name} depends on how it was built; give size_multiple, which is "
        f"archs.declaration.facts({name}, its arguments).size_multiple"
    )
