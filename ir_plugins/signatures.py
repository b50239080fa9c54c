"""What a class or function takes: read off its annotations, or, where it takes one dict of options, off its
source.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

Keys = tuple[str, ...]


def fits(value: Any, annotation: Any) -> bool:
    """Whether a YAML value is of the annotated kind; what is not annotated, or in another way, fits."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Sequence:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if origin is UnionType:
        return any(fits(value, kind) for kind in inner)
    if origin is Literal:
        return value in inner
    if annotation in (int, float) and isinstance(value, bool):
        return False
    if annotation is float:
        return isinstance(value, int | float)
    return isinstance(value, annotation) if annotation in (int, bool, str, NoneType) else True


def kind_of(annotation: Any) -> str:
    """An annotation in words: int, a list of int, one of alternate, none."""
    inner = get_args(annotation)
    if get_origin(annotation) is Sequence:
        return f"a list of {kind_of(inner[0])}"
    if get_origin(annotation) is UnionType:
        return " or ".join(map(kind_of, inner))
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def takes(target: Callable, name: str) -> bool:
    """Whether a class or function has an argument of that name."""
    return name in inspect.signature(target).parameters


def keys_read(cls: type, *, required: bool = False) -> set[Keys]:
    """Every key path that a class looks up in its options, read off its source: opt['val'].get('suffix') ->
    (val, suffix).

    required: only what is looked up with a subscript, which has no default.
    """
    lookup = ast.Subscript if required else ast.AST
    paths = set()
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in ("builtins", "torch", "typing"):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            named: dict[str, Keys] = {}  # val = self.opt["val"], and from there on val is (val,)
            for node in ast.walk(function):
                if not isinstance(node, ast.Assign):
                    continue
                target = node.targets[0]
                if isinstance(target, ast.Name) and (path := _key_path(node.value, named)):
                    named[target.id] = path
            nodes = (node for node in ast.walk(function) if isinstance(node, lookup))
            paths |= {path for node in nodes if (path := _key_path(node, named))}
    return paths


def _key_path(node: ast.AST, named: dict[str, Keys]) -> Keys | None:
    """opt and self.opt are (); train_opt is (train,); a subscript, .get or .pop with a constant adds that
    key.
    """
    if isinstance(node, ast.Name) and node.id in named:
        return named[node.id]
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name == "opt":
            return ()
        return (name.removesuffix("_opt"),) if name.endswith("_opt") else None
    if isinstance(node, ast.Subscript):
        owner, key = node.value, node.slice
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get", "pop")
    ):
        owner, key = node.func.value, node.args[0] if node.args else None
    else:
        return None
    path = _key_path(owner, named)
    if path is None or not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return None
    return (*path, key.value)
