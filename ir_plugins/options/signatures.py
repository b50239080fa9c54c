"""The arguments of classes and functions, and the values they take, found in annotations and docstrings.

If a class takes one dictionary of options, its source shows the keys.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

Keys = tuple[str, ...]

# what YAML can hold: in words, several of it, and as JSON Schema calls it
KINDS: dict[Any, tuple[str, str, str]] = {
    int: ("a whole number", "whole numbers", "integer"),
    float: ("a number", "numbers", "number"),
    bool: ("true or false", "true or false", "boolean"),
    str: ("text", "texts", "string"),
    dict: ("a block of keys", "blocks of keys", "object"),
    NoneType: ("~", "~", "null"),
}
BLOCKS, LISTS = (Mapping, dict), (Sequence, list)  # with what they hold in brackets
UNIONS = (UnionType, Union)  # int | None, and int | Literal["auto"]


def fits(value: Any, annotation: Any) -> bool:
    """Whether a YAML value is of the annotated kind; with any other annotation every value fits.

    Args:
        value: As YAML gives it.
        annotation: As in a signature, of the kinds in KINDS, lists, choices and unions of them.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in BLOCKS:
        return isinstance(value, dict) and all(fits(item, inner[1]) for item in value.values())
    if _is_open_list(annotation):
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inner) and all(map(fits, value, inner))
    if origin in UNIONS:
        return any(fits(value, kind) for kind in _holdable(inner))
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)
    if annotation in (int, float) and isinstance(value, bool):
        return False
    if annotation is float:
        return isinstance(value, int | float)
    return isinstance(value, annotation) if annotation in KINDS else True


def _is_open_list(annotation: Any) -> bool:
    """Whether an annotation means a list of any length."""
    origin = get_origin(annotation)
    return origin in LISTS or (origin is tuple and Ellipsis in get_args(annotation))


def kind_of(annotation: Any, bounds: str = "") -> str:
    """An annotation in words, such as "a whole number", "a list of texts" or "one of alternate, none".

    Args:
        annotation: As in a signature.
        bounds: Bounds of its numbers, in words, such as " of at least 1".
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if (is_open := _is_open_list(annotation)) or origin is tuple:
        count = "" if is_open else f"{len(inner)} "
        kinds = _holdable(get_args(inner[0])) if get_origin(inner[0]) in UNIONS else inner[:1]
        several = " or ".join(KINDS[kind][1] if kind in KINDS else kind_of(kind) for kind in kinds)
        return f"a list of {count}{several}{bounds}"
    if origin in UNIONS:
        return " or ".join(kind_of(kind, bounds) for kind in _holdable(inner))
    if origin is Literal:
        return f"{'one of ' if len(inner) > 1 else ''}{', '.join(map(str, inner))}"
    if origin in BLOCKS:
        return KINDS[dict][0]
    if annotation in KINDS:
        return KINDS[annotation][0] + (bounds if annotation in (int, float) else "")
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def json_kind(annotation: Any, bounds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An annotation as a JSON Schema, which allows what `fits`.

    Args:
        annotation: As in a signature.
        bounds: JSON Schema's words for the bounds of its numbers.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if _is_open_list(annotation):
        return {"type": "array", "items": json_kind(inner[0], bounds)}
    if origin is tuple:
        items = [json_kind(kind, bounds) for kind in inner]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if origin in UNIONS:
        return json_union([json_kind(kind, bounds) for kind in _holdable(inner)])
    if origin is Literal:
        return {"enum": list(inner)}
    kind = dict if origin in BLOCKS else annotation
    if kind not in KINDS:
        return {}
    return {"type": KINDS[kind][2], **((bounds or {}) if kind in (int, float) else {})}


def json_union(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """A JSON Schema that allows any of several, merged into one if possible: editors show a short one better.

    Args:
        choices: The schemas.
    """
    if all(isinstance(choice.get("type"), str) and "items" not in choice for choice in choices):
        merged = {key: value for choice in choices for key, value in choice.items()}
        return merged | {"type": [choice["type"] for choice in choices]}
    enums = [choice.get("enum", [None] if choice == {"type": "null"} else []) for choice in choices]
    if all(enums):
        return {"enum": [value for enum in enums for value in enum]}
    return {} if {} in choices else {"anyOf": choices}


def _holdable(kinds: Sequence[Any]) -> Sequence[Any]:
    """The kinds that YAML can hold, if it can hold any: not the Tensor of `float | Tensor`."""
    return [kind for kind in kinds if kind in KINDS or get_origin(kind) is not None] or kinds


def arguments(target: Callable, given: Sequence[str] = ()) -> dict[str, inspect.Parameter]:
    """The arguments that an option file can pass to a class or function by name.

    Args:
        target: The class or function.
        given: Arguments that the caller passes itself.
    """
    parameters = inspect.signature(target).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in parameters.items() if p.kind in named and name not in given}


def argument_kind(parameter: inspect.Parameter) -> Any:
    """An argument's annotation; without one, a guess from its default value."""
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    default = parameter.default
    if isinstance(default, bool):
        return bool | None
    if isinstance(default, int | float):
        return float | Sequence[float]  # some sizes are one number or two
    if isinstance(default, str):
        return str | None
    if isinstance(default, tuple | list) and all(isinstance(item, int | float) for item in default):
        return Sequence[float]
    return Any


def argument_texts(target: Any, names: Sequence[str], *, whole: bool = False) -> dict[str, str]:
    """What the `Args:` lists of a class or function say about each argument.

    Args:
        target: A class, whose base classes count too, or a function.
        names: The arguments to look for; one entry of a list may name several, "mean, std: ...".
        whole: Whether to return all lines of each text, default: its first sentence.
    """
    import docstring_parser  # only lists and the editors' schema need it

    texts: dict[str, str] = {}
    for item in reversed(getattr(target, "__mro__", (target,))) if names else ():
        # a class's own, not what it inherits
        document = vars(item)["__doc__"] if isinstance(item, type) else item.__doc__
        with suppress(docstring_parser.ParseError):
            for entry in docstring_parser.parse(
                document or "", docstring_parser.DocstringStyle.GOOGLE
            ).params:
                for name in re.split(r",\s*", entry.arg_name):
                    if name in names:
                        text = entry.description or ""
                        texts[name] = text if whole else _first_sentence(text)
    return texts


def _first_sentence(text: str) -> str:
    return " ".join(re.split(r"\.(?:\s|$)|\n\n|\sDefaults?:? ", text)[0].split())


def takes(target: Callable, name: str) -> bool:
    """Whether a class or function has an argument of that name."""
    return name in inspect.signature(target).parameters


@cache
def keys_read(cls: type, *, required: bool = False) -> frozenset[Keys]:
    """Every key path that a class looks up in its options, found in its source.

    opt['val'].get('suffix') gives (val, suffix).

    Args:
        cls: A model or dataset that takes one dictionary of options.
        required: Only what is looked up with a subscript, which has no default.
    """
    lookup = ast.Subscript if required else ast.AST
    paths: set[Keys] = set()
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
    return frozenset(paths)


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
