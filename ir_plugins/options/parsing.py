"""Safe YAML with bounds: plain values only, of which a small text cannot make many.

PyYAML's own loader expands aliases without end, builds dates, sets and bytes, and fails with any error on a
tag that does not fit its value.  Here a text becomes blocks, lists, words, numbers, true, false and ~.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any, NoReturn

import yaml

MOST_VALUES = 10_000  # each use of an alias counts in full; the longest file that we ship has 300
MOST_LEVELS = 50
LONGEST_NUMBER = 100  # characters
LONGEST_KEY = 200  # characters
LONGEST_SHOWN = 60  # characters of a text in a message
CORE = "tag:yaml.org,2002:"
MERGE = f"{CORE}merge"
BOOLEANS = yaml.constructor.SafeConstructor.bool_values
NOWHERE = "which no path or log can hold"
EMPTY = ("", "~", "null")


class _Loader(yaml.SafeLoader):
    """Composes nodes within the bounds; `values` makes values of them."""

    def __init__(self, text: str):
        super().__init__(text)
        self.count = self.level = self.deepest = 0
        # values and levels of each finished node, by its id; an alias costs as much again
        self.sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self.sizes:
                _refuse("a block cannot contain itself", node)
            values, levels = self.sizes[id(node)]
            self.count, self.deepest = self.count + values, max(self.deepest, self.level + levels)
            self._stay_below(node)
            return node
        before, deepest = self.count, self.deepest
        self.count, self.level = self.count + 1, self.level + 1
        self.deepest = self.level
        self._stay_below(self.peek_event())
        node = super().compose_node(parent, index)
        self.level -= 1
        self.sizes[id(node)] = self.count - before, self.deepest - self.level
        self.deepest = max(self.deepest, deepest)
        return node

    def _stay_below(self, place: Any) -> None:
        if self.count > MOST_VALUES:
            _refuse(f"more than {MOST_VALUES:,} values, aliases written out", place)
        if self.deepest > MOST_LEVELS:
            _refuse(f"more than {MOST_LEVELS} levels of blocks and lists in each other", place)

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            if key.tag != f"{CORE}str" or not isinstance(key, yaml.ScalarNode):
                _refuse("a key must be a word", key)
            if key.value in seen:
                _refuse(f"key '{shown(key.value)}' is given twice", key)
            if len(key.value) > LONGEST_KEY:
                _refuse(f"key '{shown(key.value)}' has more than {LONGEST_KEY} characters", key)
            seen.add(key.value)
        return node


def _only_words_and_numbers() -> None:
    """Let plain text be a number where YAML 1.2 says so: 2e-4 is one, 1:30 and 2020-01-01 are words."""
    kept = ("bool", "null", "merge")
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag.removeprefix(CORE) in kept]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    whole = r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$"
    # each text can match in one way: with two, a long one would take the square of its length
    power = r"[eE][-+]?[0-9]+"
    number = rf"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*(?:{power})?|{power})|\.[0-9][0-9_]*(?:{power})?)$"
    special = r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    first = list("-+.0123456789")
    _Loader.add_implicit_resolver(f"{CORE}int", re.compile(whole), first)
    _Loader.add_implicit_resolver(f"{CORE}float", re.compile(f"{number}|{special}"), first)


_only_words_and_numbers()


def parsed(text: str) -> Any:
    """The value of a YAML text; no two parts of it share a block or list.

    Args:
        text: The text.

    Raises:
        yaml.YAMLError: It is no YAML, exceeds a bound, or holds something else than plain values.
    """
    node = compose(text)
    return None if node is None else _value(node)


def compose(text: str) -> yaml.Node | None:
    """The nodes of a YAML text, which know their lines; None if it is empty.

    Args:
        text: The text.

    Raises:
        yaml.YAMLError: It is no YAML, or exceeds a bound.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:  # "\UFFFFFFFF"
        text = "there is no character of that number"
        raise yaml.MarkedYAMLError(problem=text, problem_mark=loader.get_mark()) from error
    finally:
        loader.dispose()


def problem_of(error: yaml.YAMLError) -> str:
    """What is wrong, in one line, without the place."""
    return " ".join((getattr(error, "problem", None) or str(error)).split())


def unprintable(text: str) -> str | None:
    """The first character that no path, message or log can hold, as '\\\\ud800'; None if there is none.

    Args:
        text: Any text; tabs and line breaks are fine.
    """
    if text.isprintable():
        return None
    odd = (c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r")
    return next((ascii(c).strip("'") for c in odd), None)


def shown(text: str) -> str:
    """A text for a message: printable, and cut if it is long."""
    text = "".join(c if c.isprintable() else ascii(c).strip("'") for c in text[: LONGEST_SHOWN + 1])
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode) and node.tag == f"{CORE}map":
        return {_text(key): _value(value) for key, value in _merged(node).items()}
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{CORE}seq":
        return [_value(item) for item in node.value]
    convert = SCALARS.get(node.tag.removeprefix(CORE)) if node.tag.startswith(CORE) else None
    if convert is None or not isinstance(node, yaml.ScalarNode):
        tag = node.tag.replace(CORE, "!!")
        _refuse(f"the tag {shown(tag)} does not fit; leave it out, an option file holds plain values", node)
    return convert(node)


def _merged(node: yaml.MappingNode) -> dict[yaml.ScalarNode, yaml.Node]:
    """The entries of a block by their keys' nodes, after those of the blocks that `<<` names."""
    found: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
    for key, value in node.value:
        if key.tag == MERGE:
            blocks = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for block in reversed(blocks):  # of two the first counts
                if not isinstance(block, yaml.MappingNode):
                    _refuse("<< takes a block, or a list of blocks", block)
                found |= {inner.value: (inner, item) for inner, item in _merged(block).items()}
    found |= {key.value: (key, value) for key, value in node.value if key.tag != MERGE}
    return dict(found.values())


def _text(node: yaml.ScalarNode) -> str:
    if (character := unprintable(node.value)) is not None:
        _refuse(f"holds the character {character}, {NOWHERE}", node)
    return node.value


def _whole(node: yaml.ScalarNode) -> int:
    text = _digits(node)
    digits = text.lstrip("+-")
    base = {"0b": 2, "0x": 16}.get(digits[:2]) or (8 if digits[:1] == "0" else 10)
    return _converted(lambda: int(text, base), "a whole number", node)


def _number(node: yaml.ScalarNode) -> float:
    text = _digits(node)
    if text.lstrip("+-") == ".inf":
        return -math.inf if text[0] == "-" else math.inf
    return math.nan if text == ".nan" else _converted(lambda: float(text), "a number", node)


def _digits(node: yaml.ScalarNode) -> str:
    if len(node.value) > LONGEST_NUMBER:
        _refuse(f"a number of {len(node.value):,} characters; at most {LONGEST_NUMBER} are read", node)
    return node.value.replace("_", "").lower()


def _truth(node: yaml.ScalarNode) -> bool:
    return _converted(lambda: BOOLEANS[node.value.lower()], "true or false", node)


def _nothing(node: yaml.ScalarNode) -> None:
    _converted(lambda: EMPTY.index(node.value.lower()), "~", node)


def _converted(convert: Callable[[], Any], kind: str, node: yaml.ScalarNode) -> Any:
    try:
        return convert()
    except (ValueError, KeyError):
        _refuse(f"'{shown(node.value)}' is not {kind}", node)


SCALARS: dict[str, Callable[[yaml.ScalarNode], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "bool": _truth,
    "null": _nothing,
}


def _refuse(text: str, place: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=text, problem_mark=place.start_mark)
