"""Networks that are built only to see whether they can be, and tried on a picture that has no pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.overrides import TorchFunctionMode

from basicsr.utils.registry import ARCH_REGISTRY

from ..options.reading import Options
from ..options.registries import entries
from ..runtime.randomness import seeded

MOST = 20_000_000_000  # weights and buffers: 80 GB of float32, before the first gradient
MOST_IN_MEMORY = 1_000_000_000  # where a network has to be built for real to be seen to fail
MOST_TRIED = 200_000_000  # where it has to be run for real
MOST_LAYERS = 20_000

Shape = tuple[int, ...]


def build_on_meta(network: Options) -> nn.Module | None:
    """The network without memory; None where a foreign net computes with numbers while it is built.

    Args:
        network: A block {type: name, argument: value, ...} whose type is registered.
    """
    try:
        with torch.device("meta"), _at_most(MOST):
            return _built(network)
    except (NotImplementedError, RuntimeError):
        return None


def build_anywhere(network: Options) -> nn.Module:
    """The network without memory where that works, else with; its random numbers are not the caller's.

    Args:
        network: A block {type: name, argument: value, ...} whose type is registered.

    Raises:
        Exception: Whatever the class makes of its arguments; ValueError where the network is too large.
    """
    net = build_on_meta(network)
    return build_in_memory(network) if net is None else net


def build_in_memory(network: Options, most: int = MOST_IN_MEMORY) -> nn.Module:
    """The network on the CPU; raises ValueError where it holds more than `most` numbers."""
    with torch.device("cpu"), _at_most(most), seeded(0):
        return _built(network)


def output_shape(net: nn.Module, picture: Shape) -> Shape | None:
    """The shape that a net makes of a picture, None where it makes something else than one tensor.

    Args:
        net: A built network; on the meta device nothing is computed.
        picture: (B, C, H, W).

    Raises:
        Exception: Whatever the net makes of the picture.
    """
    tensor = next((t for t in (*net.parameters(), *net.buffers())), torch.empty(0))
    x = torch.zeros(picture, device=tensor.device)
    with torch.no_grad(), seeded(0):
        if x.is_meta:
            with _ShapesAlone():
                y = net.eval()(x)
        else:
            y = net.eval()(x)
    return tuple(y.shape) if isinstance(y, Tensor) else None


def size_of(net: nn.Module) -> int:
    """How many numbers a net holds: weights and buffers."""
    return sum(tensor.numel() for tensor in (*net.parameters(), *net.buffers()))


class _ShapesAlone(TorchFunctionMode):
    """On the meta device torch finds the shapes of these in Python, slowly; here it is done at once.

    Most of the time of a transformer's forward on the meta device goes there.
    """

    # their output has the shape of their first argument
    KEEPING = (F.layer_norm, F.normalize, F.gelu, torch.ops.aten.gelu_, Tensor.relu, Tensor.sigmoid)
    KEEPING += (Tensor.square, Tensor.clamp, Tensor.clamp_min)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        tensors = [item for item in args[:3] if isinstance(item, Tensor)]
        if tensors and tensors[0].is_meta:
            if func in self.KEEPING:
                return tensors[0]
            if func is F.linear and len(tensors) > 1 and tensors[0].shape[-1] == tensors[1].shape[-1]:
                return tensors[0].new_empty(*tensors[0].shape[:-1], tensors[1].shape[0])
            if func is Tensor.addmm_ and len(tensors) == 3:
                total, left, right = (tuple(tensor.shape) for tensor in tensors)
                if total == (left[0], right[1]) and left[1] == right[0]:
                    return tensors[0]
        return func(*args, **(kwargs or {}))


def _built(network: Options) -> nn.Module:
    arguments = {key: value for key, value in network.items() if key != "type"}
    return entries(ARCH_REGISTRY)[network["type"]](**arguments)


@contextmanager
def _at_most(numbers: int) -> Iterator[None]:
    """A network built inside raises ValueError once it holds more numbers than that."""
    held = layers = 0

    def count(module: nn.Module, name: str, value: Any) -> None:
        nonlocal held
        held += value.numel() if isinstance(value, torch.Tensor) else 0
        if held > numbers:
            raise ValueError(f"holds more than {numbers:,} numbers; make the network smaller")

    def count_layers(module: nn.Module, name: str, value: Any) -> None:
        nonlocal layers
        layers += 1
        if layers > MOST_LAYERS:
            raise ValueError(f"has more than {MOST_LAYERS:,} layers; make the network smaller")

    handles = [
        registration.register_module_parameter_registration_hook(count),
        registration.register_module_buffer_registration_hook(count),
        registration.register_module_module_registration_hook(count_layers),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
