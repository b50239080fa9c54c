"""Follow a pickle of torch.save without building anything, and refuse what must not be loaded.

torch's own unpickler runs no code, but believes what a pickle announces: 2^60 bytes, a view beyond its
storage, lists within lists without end.  What comes through here is of the size of its file.
"""

import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from ..runtime.arguments import is_count
from .announced import (
    MAKERS,
    OTHER_TENSORS,
    TYPES,
    BadArchive,
    Container,
    Damaged,
    HoldsCode,
    Imported,
    OtherTensors,
    Storage,
    dtype_of,
    is_a,
    item_size,
    made,
)

MOST_PICKLED = 64 << 20  # bytes of a pickle; the history of a million iterations has half as many
LONGEST_LINE = 4096  # bytes


def follow(file: BinaryIO, size: int) -> tuple[int | list[str] | None, dict[str, Storage]]:
    """Follow a pickle to its end.

    Args:
        file: It stands at the pickle's begin, and then at its end.
        size: Bytes that are left in the file.

    Returns:
        The whole number or the list of texts that the pickle holds; None for anything else.  And the storages
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
    if is_a(value, list) and all(isinstance(item, str) for item in value.items):
        value = value.items
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
    """The stack of an unpickler; `STEPS` names its methods."""

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

    def push(self, value: Any) -> None:
        """Push what was made, unless it is larger than a file of this size can mean."""
        if isinstance(value, Container) and value.weight > self.most_weight:
            raise Damaged
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def popped(self) -> list[Any]:
        """What stands on the stack since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)][::-1]
        self.push(Container(tuple, items))

    def marked_tuple(self, _: Any) -> None:
        items = self.popped()
        self.push(Container(tuple, items))

    def into(self, kind: type, items: list[Any]) -> None:
        target = self.stack.pop()
        if not is_a(target, kind):
            raise Damaged
        target.extend(items)
        self.push(target)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.into(dict, [key, value])

    def imported(self, text: str) -> None:
        name = ".".join(text.split(" ", 1)).replace("__builtin__.", "builtins.")
        module, _, last = name.rpartition(".")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise Damaged
        if module.partition(".")[0] == "torch" and last in OTHER_TENSORS:
            raise OtherTensors(OTHER_TENSORS[last])
        if not (name in MAKERS or name in TYPES or item_size(name) or dtype_of(name)):
            raise HoldsCode(name.removeprefix("builtins."))
        self.stack.append(Imported(name))

    def reduce(self, _: Any) -> None:
        arguments, by = self.stack.pop(), self.stack.pop()
        self.push(made(by, arguments))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        # of the OrderedDict of Module.state_dict(); other attributes would hide its methods
        if not is_a(self.stack[-1], dict) or not is_a(state, dict) or state.items[::2] != ["_metadata"]:
            raise Damaged

    def storage(self, _: Any) -> None:
        identity = self.stack.pop()
        if not is_a(identity, tuple):
            raise Damaged
        word, kind, key, location, count, *view = identity.items
        if word != "storage" or not isinstance(kind, Imported) or not isinstance(location, str):
            raise Damaged
        item = item_size(kind.name)
        if not isinstance(key, str) or not is_count(count) or not item or view not in ([], [None]):
            raise Damaged
        storage = Storage(key, item, count)
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged
        self.stack.append(storage)


PUSHES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
STEPS: dict[str, Callable[[_Walk, Any], None]] = {
    "MARK": _Walk.mark,
    "EMPTY_LIST": lambda walk, _: walk.push(Container(list, [])),
    "EMPTY_DICT": lambda walk, _: walk.push(Container(dict, [])),
    "EMPTY_TUPLE": lambda walk, _: walk.push(Container(tuple, [])),
    "TUPLE1": lambda walk, _: walk.tuple_of(1),
    "TUPLE2": lambda walk, _: walk.tuple_of(2),
    "TUPLE3": lambda walk, _: walk.tuple_of(3),
    "TUPLE": _Walk.marked_tuple,
    "APPEND": lambda walk, _: walk.into(list, [walk.stack.pop()]),
    "APPENDS": lambda walk, _: walk.into(list, walk.popped()),
    "SETITEM": _Walk.set_item,
    "SETITEMS": lambda walk, _: walk.into(dict, walk.popped()),
    "BINPUT": _Walk.put,
    "LONG_BINPUT": _Walk.put,
    "BINGET": _Walk.get,
    "LONG_BINGET": _Walk.get,
    "GLOBAL": _Walk.imported,
    "REDUCE": _Walk.reduce,
    "BUILD": _Walk.build,
    "BINPERSID": _Walk.storage,
}
