"""Build a network only to check it, and try it on a small picture.

In memory that is quick for networks of usual size.  The meta device takes networks of any size, but torch
imports its compiler for it, which takes a second.
"""

import inspect
import math
import time
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
MOST_IN_MEMORY = 1_000_000_000  # of a network that cannot be built on the meta device
MOST_TRIED = 100_000_000  # of a network that is built and run in memory
MOST_AT_ONCE = 50_000_000  # numbers of one tensor inside the network
SECONDS = 2.0  # of one core, to build it and again to run it
SECONDS_ON_META = 5.0  # of one core, to build it without memory
MOST_LAYERS = 10_000
LARGEST = 1 << 20  # of every number: layers, channels, heads, pixels, factors

Shape = tuple[int, ...]


class TooLarge(Exception):
    """A network needs too much memory or time to be tried."""


class Absurd(ValueError):
    """A network is larger than any machine holds; the message says what to lower."""


def build_on_meta(network: Options) -> nn.Module | None:
    """The network without memory; None if a foreign net computes with numbers while it is built.

    Args:
        network: A block {type: name, argument: value, ...} whose type is registered.
    """
    try:
        with torch.device("meta"), _at_most(MOST, network, seconds=SECONDS_ON_META):
            return _built(network)
    except (NotImplementedError, RuntimeError):
        return None


def build_anywhere(network: Options, *, random: bool = True) -> nn.Module:
    """The network in memory if it is small, else on the meta device; use it for checks only.

    Args:
        network: A block {type: name, argument: value, ...} whose type is registered.
        random: Whether to draw its weights, which takes longer than a forward on a small picture; otherwise
            they are zeros or whatever the memory holds.

    Raises:
        Absurd: The network is too large.
        Exception: Any other error of the class.
    """
    try:
        with torch.device("cpu"), _at_most(MOST_TRIED), seeded(0), _one_thread(), _Bounded(random):
            return _built(network)
    except TooLarge:
        pass
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
    net = build_on_meta(network)
    if net is None:
        try:
            with torch.device("cpu"), _at_most(MOST_IN_MEMORY, network), seeded(0):
                net = _built(network)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            raise Absurd(f"needs more memory than there is; {way_to_lower(network)}") from error
    return net


def output_shape(net: nn.Module, picture: Shape) -> Shape | None:
    """The shape of a net's output; None if the output is no tensor.

    Args:
        net: A built network; on the meta device nothing is computed.
        picture: The input's shape, (B, C, H, W).

    Raises:
        TooLarge: The forward takes too much memory or time.
        Exception: Any other error of the net.
    """
    device = "meta" if is_on_meta(net) else "cpu"
    x = torch.zeros(picture, device=device)
    try:
        with torch.no_grad(), seeded(0), _one_thread(), _ShapesAlone() if device == "meta" else _Bounded():
            y = net.eval()(x)
    except (MemoryError, RuntimeError) as error:
        if _lacks_memory(error):
            raise TooLarge from error
        raise
    return tuple(y.shape) if isinstance(y, Tensor) else None


def is_on_meta(net: nn.Module) -> bool:
    """Whether a net has a tensor without memory."""
    return any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers()))


def _lacks_memory(error: Exception) -> bool:
    # torch has no class of its own for a CPU without memory
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


class _Bounded(TorchFunctionMode):
    """Inside, functions of torch raise TooLarge after SECONDS, and for a tensor that is too large."""

    PRODUCTS = (torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm)
    ATTENTION = F.scaled_dot_product_attention

    def __init__(self, random: bool = True):
        super().__init__()
        self.random = random
        self.end = time.thread_time() + SECONDS

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if self._product(func, args) > MOST_AT_ONCE:
            raise TooLarge
        if not self.random and getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        if not self.random and func in (Tensor.normal_, Tensor.uniform_):
            return args[0].zero_()
        result = func(*args, **(kwargs or {}))
        # only tensors: a function without one may be the end of a torch.no_grad(), which must take effect
        if isinstance(result, Tensor) and (result.numel() > MOST_AT_ONCE or time.thread_time() > self.end):
            raise TooLarge
        return result

    def _product(self, func: Any, args: tuple[Any, ...]) -> int:
        """How many numbers a product of matrices will have: windows of many pixels make it huge."""
        if func in self.PRODUCTS:
            left, right = args[0].shape, args[1].shape
            return math.prod(left[:-1]) * right[-1] if len(right) > 1 else 0
        if func is self.ATTENTION:
            return math.prod(args[0].shape[:-1]) * args[1].shape[-2]
        return 0


class _ShapesAlone(TorchFunctionMode):
    """Finds the shapes of some functions on the meta device without torch, whose Python code is slow.

    A transformer's forward on the meta device spends most of its time there.
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
        return func(*args, **(kwargs or {}))


def _built(network: Options) -> nn.Module:
    arguments = {key: value for key, value in network.items() if key != "type"}
    for name, value in arguments.items():
        if (number := _largest(value)) > LARGEST:  # a loop over it would not end
            raise Absurd(f"{name}={number} is absurdly large; take at most {LARGEST:,}")
    return entries(ARCH_REGISTRY)[network["type"]](**arguments)


def _largest(value: Any) -> int:
    """The largest whole number of a value, or in it; 0 if there is none."""
    if isinstance(value, int):
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return max(map(_largest, inside), default=0)


def way_to_lower(network: Options) -> str:
    """The way out of a network that is too large: the number that is furthest above its default.

    Args:
        network: A block {type: name, argument: value, ...} whose type is registered.
    """
    parameters = inspect.signature(entries(ARCH_REGISTRY)[network["type"]]).parameters
    usual = {name: _largest(parameters[name].default) for name in network if name in parameters}
    known = [name for name in usual if _largest(network[name]) > usual[name]]
    if not known:
        return "make the network smaller"
    name = max(known, key=lambda name: _largest(network[name]) / max(1, usual[name]))
    by_default = f" (by default {parameters[name].default})" if usual[name] else ""
    return f"make the network smaller: lower {name}: {network[name]}{by_default}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, torch computes in one thread, which is faster for little work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _at_most(numbers: int, network: Options | None = None, seconds: float = math.inf) -> Iterator[None]:
    """A network built inside raises an error once it holds more numbers, or takes longer.

    Args:
        numbers: Weights and buffers together.
        network: Its block, for the message of Absurd; without one the error is TooLarge.
        seconds: Of this thread.
    """
    held = layers = 0
    end = time.thread_time() + seconds

    def refuse(text: str) -> None:
        raise TooLarge if network is None else Absurd(f"{text}; {way_to_lower(network)}")

    def count(module: nn.Module, name: str, value: Any) -> None:
        nonlocal held
        held += value.numel() if isinstance(value, torch.Tensor) else 0
        if held > numbers:
            refuse(f"holds more than {numbers:,} numbers")

    def count_layers(module: nn.Module, name: str, value: Any) -> None:
        nonlocal layers
        layers += 1
        if layers > MOST_LAYERS:
            refuse(f"has more than {MOST_LAYERS:,} layers")
        if time.thread_time() > end:
            refuse(f"takes more than {seconds:g} s to build without memory")

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
