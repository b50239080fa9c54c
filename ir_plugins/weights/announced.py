"""What a pickle of torch.save announces: containers, storages and tensors, without their numbers."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ..runtime.arguments import is_count

DEEPEST = 64  # containers within containers
Atom = None | bool | int | float | str | bytes

# torch.FloatStorage and so on: bytes of an item
ITEM_SIZES = {"Bool": 1, "Byte": 1, "Char": 1, "Untyped": 1, "Short": 2, "Half": 2, "BFloat16": 2, "Int": 4}
ITEM_SIZES |= {"Float": 4, "Long": 8, "Double": 8, "ComplexFloat": 8, "ComplexDouble": 16}
STORED_IN = ("torch", "torch.storage", "torch.cuda")
# functions that make other tensors than those a network's weights are
OTHER_TENSORS = {
    "_rebuild_sparse_tensor": "sparse",
    "_get_layout": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "empty (meta)",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_wrapper_subclass": "wrapped",
    "_rebuild_device_tensor_from_numpy": "another device's",
    "_rebuild_device_tensor_from_cpu_tensor": "another device's",
} | {f"{kind}Storage": "quantised" for kind in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")}


class BadArchive(ValueError):
    """A file must not be loaded; the text says why."""


class Damaged(BadArchive):
    """A file is damaged, or none of torch.save."""

    def __init__(self) -> None:
        super().__init__("damaged, or no weight file")


class HoldsCode(BadArchive):
    """A pickle asks for code; the text is what it asks for."""


class OtherTensors(BadArchive):
    """A pickle holds tensors that are no dense ones; the text is their kind."""


class Storage(NamedTuple):
    """The numbers of tensors, which stand outside the pickle.

    Args:
        key: Its name in the archive.
        item: Bytes of a number.
        count: How many numbers.
    """

    key: str
    item: int
    count: int


class Imported(NamedTuple):
    """A class or function that a pickle imports.

    Args:
        name: With its module.
    """

    name: str


class AnyTensor:
    """A dense tensor that lies within its storage."""


class Container:
    """A list, dict, tuple or set; it is complete before it stands in another one.

    Args:
        kind: list, dict, tuple or set.
        items: What is in it; of a dict, key and value in turn.

    Raises:
        Damaged: See `extend`.
    """

    def __init__(self, kind: type, items: list[Any]):
        self.kind, self.items, self.is_inside = kind, [], False
        self.depth = self.weight = 1  # `weight` counts what is in it again wherever it stands again
        self.extend(items)

    def extend(self, items: list[Any]) -> None:
        """Put more into it.

        Args:
            items: As the class has them.

        Raises:
            Damaged: It would be in itself, too deep, or have keys that take long to hash.
        """
        if self.is_inside or any(item is self for item in items):
            raise Damaged
        if self.kind is dict and (len(items) % 2 or not all(map(is_key, items[::2]))):
            raise Damaged
        for item in items:
            if isinstance(item, Container):
                item.is_inside = True
                self.depth = max(self.depth, item.depth + 1)
                self.weight += item.weight
        self.weight += len(items)
        self.items += items
        if self.depth > DEEPEST:
            raise Damaged


def is_a(value: Any, kind: type) -> bool:
    """Whether a value is a Container of a kind."""
    return isinstance(value, Container) and value.kind is kind


def is_key(value: Any) -> bool:
    """Whether a dict can hash a value in a moment: a tuple of tuples may take for ever."""
    if is_a(value, tuple):
        return len(value.items) < 64 and all(isinstance(item, Atom) for item in value.items)
    return isinstance(value, Atom)


def item_size(name: str) -> int:
    """The bytes of an item of "torch.FloatStorage" or the like; 0 for another name."""
    module, _, last = name.rpartition(".")
    known = module in STORED_IN and last.endswith("Storage")
    return ITEM_SIZES.get(last.removesuffix("Storage"), 0) if known else 0


def dtype_of(name: str) -> torch.dtype | None:
    """torch.float32 of "torch.float32"; None for another name."""
    module, _, last = name.rpartition(".")
    found = getattr(torch, last, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype) else None


def made(by: Any, arguments: Any) -> Any:
    """What a function of a pickle makes.

    Args:
        by: The function.
        arguments: A tuple.

    Raises:
        Damaged: The pickle cannot be of torch.save.
    """
    if not isinstance(by, Imported) or by.name not in MAKERS or not is_a(arguments, tuple):
        raise Damaged
    return MAKERS[by.name](*arguments.items)


def _need(*conditions: bool) -> None:
    if not all(conditions):
        raise Damaged


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> AnyTensor:
    """_rebuild_tensor, and _v2 with requires_grad, hooks and metadata in `more`."""
    return _view(storage, None, (offset, size, stride), *more)


def _tensor_3(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> AnyTensor:
    """_rebuild_tensor_v3 with requires_grad, hooks, dtype and metadata in `more`."""
    grad, hooks, kind, *metadata = more
    if not isinstance(kind, Imported) or (dtype := dtype_of(kind.name)) is None:
        raise Damaged
    return _view(storage, dtype.itemsize, (offset, size, stride), grad, hooks, *metadata)


def _view(
    storage: Any,
    item: int | None,
    place: tuple[Any, Any, Any],
    grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> AnyTensor:
    offset, size, stride = place
    _need(isinstance(storage, Storage), is_a(size, tuple), is_a(stride, tuple))
    lengths, steps = size.items, stride.items
    _need(len(lengths) == len(steps) <= 64, all(map(is_count, [offset, *lengths, *steps])))
    _need(isinstance(grad, bool), _is_empty(hooks))
    if metadata is not None:  # of complex numbers
        _need(is_a(metadata, dict) and all(isinstance(one, str | bool) for one in metadata.items))
    last = sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
    needed = offset + (0 if 0 in lengths else last + 1)
    # torch would make the storage larger, and fill it with whatever the memory holds
    _need(needed * (item or storage.item) <= storage.count * storage.item, math.prod(lengths) < 2**60)
    return AnyTensor()


def _is_empty(hooks: Any) -> bool:
    return hooks is None or (is_a(hooks, dict) and not hooks.items)


def _parameter(data: Any, grad: Any, hooks: Any, state: Any = None) -> AnyTensor:
    _need(isinstance(data, AnyTensor), isinstance(grad, bool), _is_empty(hooks))
    _need(state is None or is_a(state, dict))
    return data


def _of_type(by: Any, kind: Any, arguments: Any, state: Any) -> Any:
    _need(isinstance(kind, Imported) and kind.name in TYPES, by != Imported(OF_TYPE))
    return made(by, arguments)


def _ordered(pairs: Any = None) -> Container:
    found = Container(dict, [])
    for pair in pairs.items if is_a(pairs, list) or is_a(pairs, tuple) else ():
        _need(isinstance(pair, Container) and len(pair.items) == 2)
        found.extend(pair.items)
    return found


def _counter(counts: Any = None) -> Container:
    _need(counts is None or is_a(counts, dict))
    return Container(dict, [] if counts is None else counts.items)


def _size(numbers: Any = None) -> Container:
    _need(numbers is None or (isinstance(numbers, Container) and all(map(is_count, numbers.items))))
    return Container(tuple, [] if numbers is None else numbers.items)


def _set(items: Any = None) -> Container:
    _need(items is None or (is_a(items, list) and all(map(is_key, items.items))))
    return Container(set, [] if items is None else items.items)


def _plain(*arguments: Any) -> str:
    """complex, torch.device: of one or two short values."""
    _need(len(arguments) <= 2, all(isinstance(one, str | int | float) for one in arguments))
    return ""


def _bytes(text: Any, encoding: Any) -> bytes:
    _need(isinstance(text, str), encoding in ("latin1", "latin-1"))  # others make it longer
    return b""


OF_TYPE = "torch._tensor._rebuild_from_type_v2"
TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter"}
MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "torch.Size": _size,
    "torch.device": _plain,
    "builtins.complex": _plain,
    "builtins.set": _set,
    "_codecs.encode": _bytes,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    OF_TYPE: _of_type,
}
