"""Shorten a JSON Schema: define once what occurs twice."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
WIDTH = 110  # of a line of the file
LEAST = 60  # characters: shorter texts get no definition


def with_shared(schema: Json, prefix: str = "") -> Json:
    """The schema with a `$ref` instead of equal properties of one name.

    Args:
        schema: It has a block `definitions`; shared ones are added there under their property's name.
        prefix: Put before their names.
    """
    counts: Counter[tuple[str, str]] = Counter(
        (name, json.dumps(kind)) for name, kind in _properties(schema) if len(json.dumps(kind)) > LEAST
    )
    names: dict[tuple[str, str], str] = {}
    for (name, text), count in counts.items():
        if count > 1:
            alike = sum(other == name for other, _ in names)
            names[name, text] = f"{prefix}{name}" + (f".{alike + 1}" if alike else "")
    taken = schema["definitions"].keys()
    names = {key: f"{name}." if name in taken else name for key, name in names.items()}
    definitions = {name: _referring(json.loads(text), names) for (_, text), name in names.items()}
    shared = _referring(schema, names)
    return shared | {"definitions": shared["definitions"] | definitions}


def as_text(schema: Json) -> str:
    """JSON with objects and lists on one line if they fit."""
    return _text(schema, "")


def _text(value: Any, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list):
        return line
    inner = indent + " "
    if isinstance(value, list):
        items = [inner + _text(item, inner) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    items = [f"{inner}{json.dumps(key)}: {_text(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def _properties(schema: Any) -> Iterator[tuple[str, Json]]:
    """Every property of every object, by its name."""
    if isinstance(schema, list):
        for item in schema:
            yield from _properties(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value.items()
            yield from _properties(value)


def _referring(schema: Any, names: dict[tuple[str, str], str]) -> Any:
    if isinstance(schema, list):
        return [_referring(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            found = {name: names.get((name, json.dumps(kind))) for name, kind in value.items()}
            result[key] = {
                name: {"$ref": f"#/definitions/{found[name]}"} if found[name] else _referring(kind, names)
                for name, kind in value.items()
            }
        else:
            result[key] = _referring(value, names)
    return result
