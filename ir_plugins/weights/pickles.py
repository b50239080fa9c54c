"""Follow a pickle of torch.save without building anything, and refuse what must not be loaded.

torch's own unpickler runs no code, but believes what a pickle announces: 2^60 bytes, a view beyond its
storage, lists within lists without end.  What comes through here is of the size of its file.
"""

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch

DEEPEST = 64  # containers within containers
MOST_PICKLED = 64 << 20  # bytes of a pickle; the history of a million iterations has half as many
LONGEST_LINE = 4096  # bytes
Atom = None | bool | int | float | str | bytes

# torch.FloatStorage and so on: bytes of an item
ITEM_SIZES = {"Bool": 1, "Byte": 1, "Char": 1, "Untyped": 1, "Short": 2, "Half": 2, "BFloat16": 2, "Int": 4}
ITEM_SIZES |= {"Float": 4, "Long": 8, "Double": 8, "ComplexFloat": 8, "ComplexDouble": 16}
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


class _Global(NamedTuple):
    """What a pickle imports."""

    name: str


class _Tensor:
    pass


class _Container:
    """A list, dict or tuple.

    Args:
        kind: list, dict or tuple.
        items: What is in it; of a dict, key and value in turn.
    """

    def __init__(self, kind: type, items: list[Any]):
        self.kind, self.items, self.sealed = kind, [], False
        self.depth = self.weight = 1  # `weight` counts what is in it again wherever it stands again
        self.extend(items)

    def extend(self, items: list[Any]) -> None:
        if self.sealed:  # it would be in itself, or its depth unknown
            raise Damaged
        if self.kind is dict and (len(items) % 2 or not all(map(_is_key, items[::2]))):
            raise Damaged
        for item in items:
            if item is self:
                raise Damaged
            if isinstance(item, _Container):
                item.sealed = True
                self.depth = max(self.depth, item.depth + 1)
                self.weight += item.weight
        self.weight += len(items)
        self.items += items
        if self.depth > DEEPEST:
            raise Damaged


def follow(file: BinaryIO, size: int) -> tuple[Any, dict[str, Storage]]:
    """Follow a pickle to its end.

    Args:
        file: It stands at the pickle's begin, and then at its end.
        size: Bytes that are left in the file.

    Returns:
        A whole number that the pickle holds, or a list of texts; None for anything else.  And the storages
        that its tensors need, by key.

    Raises:
        Damaged: It is no pickle of torch.save, or announces more than it has.
        HoldsCode: It asks for code.
        OtherTensors: It holds tensors that are sparse, quantised, on the meta device or the like.
    """
    walk = _Walk(size)
    try:
        value = walk.follow(_Bounded(file, min(size, MOST_PICKLED)))
    except BadArchive:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise Damaged from error
    if isinstance(value, _Container):
        texts = value.kind is list and all(isinstance(item, str) for item in value.items)
        value = value.items if texts else None
    return value if isinstance(value, int | list) else None, walk.storages


class _Bounded:
    """A file that ends after some bytes, for pickletools."""

    def __init__(self, file: BinaryIO, left: int):
        self.file, self.left = file, left

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise Damaged
        self.left -= count
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(min(self.left, LONGEST_LINE))
        self.left -= len(line)
        return line


class _Walk:
    def __init__(self, size: int):
        self.most_weight = 100_000 + 20 * size
        self.storages: dict[str, Storage] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def follow(self, file: _Bounded) -> Any:
        operations = pickletools.genops(file)  # pyright: ignore[reportArgumentType]  (it reads and no more)
        for operation, argument, _ in operations:
            name = operation.name
            if name == "STOP":
                return self.stack.pop()
            if name in PUSHES:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif (step := STEPS.get(name)) is not None:
                step(self, argument)
            elif name != "PROTO":
                # a pickle of a newer kind than torch reads: is there code in it?
                if name == "STACK_GLOBAL" or any(o.name.endswith("GLOBAL") for o, _, _ in operations):
                    raise HoldsCode("a Python pickle")
                raise Damaged
        raise Damaged

    def _popped(self) -> list[Any]:
        """What stands on the stack since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _new(self, kind: type, items: list[Any]) -> _Container:
        made = _Container(kind, items)
        self._check_weight(made)
        return made

    def _check_weight(self, container: _Container) -> None:
        if container.weight > self.most_weight:
            raise Damaged

    def _into(self, kind: type, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _Container) or target.kind is not kind:
            raise Damaged
        target.extend(items)
        self._check_weight(target)

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self._into(list, [item])

    def _set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._into(dict, [key, value])

    def _tuple(self, count: int) -> None:
        items = self.stack[-count:]
        if len(items) < count:
            raise Damaged
        self.stack[-count:] = [self._new(tuple, items)]

    def _marked_tuple(self, _: Any) -> None:
        items = self._popped()
        self.stack.append(self._new(tuple, items))

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _import(self, text: str) -> None:
        name = ".".join(text.split(" ", 1)).replace("__builtin__.", "builtins.")
        module, _, last = name.rpartition(".")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise Damaged
        if module.partition(".")[0] == "torch" and last in OTHER_TENSORS:
            raise OtherTensors(OTHER_TENSORS[last])
        if not (name in MAKERS or name in TYPES or _item_size(name) or _dtype(name)):
            raise HoldsCode(name.removeprefix("builtins."))
        self.stack.append(_Global(name))

    def _reduce(self, _: Any) -> None:
        arguments, made_by = self.stack.pop(), self.stack.pop()
        self.stack.append(self._made(made_by, arguments))

    def _made(self, made_by: Any, arguments: Any) -> Any:
        if not isinstance(made_by, _Global) or made_by.name not in MAKERS or not _is(arguments, tuple):
            raise Damaged
        made = MAKERS[made_by.name](self, *arguments.items)
        if isinstance(made, _Container):
            self._check_weight(made)
        return made

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        # of the OrderedDict of Module.state_dict(); other attributes would hide its methods
        if not _is(self.stack[-1], dict) or not _is(state, dict) or state.items[::2] != ["_metadata"]:
            raise Damaged

    def _storage(self, _: Any) -> None:
        identity = self.stack.pop()
        if not _is(identity, tuple):
            raise Damaged
        word, kind, key, location, count, *view = identity.items
        if word != "storage" or not isinstance(kind, _Global) or not isinstance(location, str):
            raise Damaged
        if not isinstance(key, str) or not _is_size(count) or view not in ([], [None]):
            raise Damaged
        item = _item_size(kind.name)
        if not item:
            raise Damaged
        storage = Storage(key, item, count)
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged
        self.stack.append(storage)

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> _Tensor:
        """_rebuild_tensor, and _v2 with requires_grad, hooks and the metadata of complex numbers in `more`."""
        return self._view(storage, None, (offset, size, stride), *more)

    def _tensor_3(self, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> _Tensor:
        """_rebuild_tensor_v3 with requires_grad, hooks, dtype and metadata in `more`."""
        grad, hooks, kind, *metadata = more
        if not isinstance(kind, _Global) or (dtype := _dtype(kind.name)) is None:
            raise Damaged
        return self._view(storage, dtype.itemsize, (offset, size, stride), grad, hooks, *metadata)

    def _view(
        self,
        storage: Any,
        item: int | None,
        place: tuple[Any, Any, Any],
        grad: Any = False,
        hooks: Any = None,
        metadata: Any = None,
    ) -> _Tensor:
        offset, size, stride = place
        if not isinstance(storage, Storage) or not _is(size, tuple) or not _is(stride, tuple):
            raise Damaged
        lengths, steps = size.items, stride.items
        if (
            not all(map(_is_size, [offset, *lengths, *steps]))
            or len(lengths) != len(steps)
            or len(steps) > 64
        ):
            raise Damaged
        if not isinstance(grad, bool) or not _is_empty(hooks):
            raise Damaged
        if metadata is not None and not (
            _is(metadata, dict) and all(isinstance(item, str | bool) for item in metadata.items)
        ):
            raise Damaged
        last = sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
        needed = offset + (0 if 0 in lengths else last + 1)
        # torch would make the storage larger, and fill it with whatever the memory holds
        there = storage.count * storage.item
        if needed * (item or storage.item) > there or math.prod(lengths) >= 2**60:
            raise Damaged
        return _Tensor()

    def _parameter(self, data: Any, grad: Any, hooks: Any, state: Any = None) -> _Tensor:
        if not isinstance(data, _Tensor) or not isinstance(grad, bool) or not _is_empty(hooks):
            raise Damaged
        if state is not None and not _is(state, dict):
            raise Damaged
        return data

    def _typed(self, made_by: Any, kind: Any, arguments: Any, state: Any) -> Any:
        if not isinstance(kind, _Global) or kind.name not in TYPES or made_by == _Global(TYPED):
            raise Damaged
        return self._made(made_by, arguments)

    def _ordered(self, pairs: Any = None) -> _Container:
        made = self._new(dict, [])
        for pair in pairs.items if isinstance(pairs, _Container) and pairs.kind is not dict else ():
            if not isinstance(pair, _Container) or len(pair.items) != 2:
                raise Damaged
            made.extend(pair.items)
        return made

    def _counter(self, counts: Any = None) -> _Container:
        if counts is not None and not _is(counts, dict):
            raise Damaged
        return self._new(dict, [] if counts is None else counts.items)

    def _size(self, numbers: Any = None) -> _Container:
        items = numbers.items if isinstance(numbers, _Container) and numbers.kind is not dict else []
        if not all(map(_is_size, items)):
            raise Damaged
        return self._new(tuple, items)

    def _set(self, items: Any = None) -> _Container:
        items = items.items if _is(items, list) else []
        if not all(map(_is_key, items)):
            raise Damaged
        return _Container(set, items)

    def _plain(self, *arguments: Any) -> str:
        """complex, torch.device: of a few short values."""
        if len(arguments) > 2 or not all(isinstance(a, str | int | float) for a in arguments):
            raise Damaged
        return ""

    def _bytes(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):  # others make it longer
            raise Damaged
        return b""

    STEPS: dict[str, Callable[["_Walk", Any], None]]


TYPED = "torch._tensor._rebuild_from_type_v2"
TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter"}
MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _Walk._ordered,
    "collections.Counter": _Walk._counter,
    "torch.Size": _Walk._size,
    "torch.device": _Walk._plain,
    "builtins.complex": _Walk._plain,
    "builtins.set": _Walk._set,
    "_codecs.encode": _Walk._bytes,
    "torch._utils._rebuild_tensor": _Walk._tensor,
    "torch._utils._rebuild_tensor_v2": _Walk._tensor,
    "torch._utils._rebuild_tensor_v3": _Walk._tensor_3,
    "torch._utils._rebuild_parameter": _Walk._parameter,
    "torch._utils._rebuild_parameter_with_state": _Walk._parameter,
    TYPED: _Walk._typed,
}
PUSHES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
STEPS: dict[str, Callable[[_Walk, Any], None]] = {
    "MARK": _Walk._mark,
    "EMPTY_LIST": lambda walk, _: walk.stack.append(_Container(list, [])),
    "EMPTY_DICT": lambda walk, _: walk.stack.append(_Container(dict, [])),
    "EMPTY_TUPLE": lambda walk, _: walk.stack.append(_Container(tuple, [])),
    "TUPLE1": lambda walk, _: walk._tuple(1),
    "TUPLE2": lambda walk, _: walk._tuple(2),
    "TUPLE3": lambda walk, _: walk._tuple(3),
    "TUPLE": _Walk._marked_tuple,
    "APPEND": _Walk._append,
    "APPENDS": lambda walk, _: walk._into(list, walk._popped()),
    "SETITEM": _Walk._set_item,
    "SETITEMS": lambda walk, _: walk._into(dict, walk._popped()),
    "BINPUT": _Walk._put,
    "LONG_BINPUT": _Walk._put,
    "BINGET": lambda walk, index: walk.stack.append(walk.memo[index]),
    "LONG_BINGET": lambda walk, index: walk.stack.append(walk.memo[index]),
    "GLOBAL": _Walk._import,
    "REDUCE": _Walk._reduce,
    "BUILD": _Walk._build,
    "BINPERSID": _Walk._storage,
}


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, _Container) and value.kind is kind


def _is_empty(hooks: Any) -> bool:
    return hooks is None or (_is(hooks, dict) and not hooks.items)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _is_key(value: Any) -> bool:
    """Whether a dict can hash it in a moment: a tuple of tuples may take for ever."""
    if _is(value, tuple):
        value = list(value.items)
        return len(value) < 64 and all(isinstance(item, Atom) for item in value)
    return isinstance(value, Atom)


def _item_size(name: str) -> int:
    """The bytes of an item of "torch.FloatStorage" or the like; 0 for another name."""
    module, _, last = name.rpartition(".")
    return ITEM_SIZES.get(last.removesuffix("Storage"), 0) if module in STORED_IN and "Storage" in last else 0


STORED_IN = ("torch", "torch.storage", "torch.cuda")


def _dtype(name: str) -> torch.dtype | None:
    module, _, last = name.rpartition(".")
    found = getattr(torch, last, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype) else None
