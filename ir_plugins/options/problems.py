"""Problems of an option file, and the message that reports them."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from ..runtime.errors import UserError, nearest
from .parsing import shown
from .reading import Options, key_lines
from .signatures import Keys, fits, kind_of

LIMIT = 2e9  # no number in an option file means anything beyond it
MOST_REPORTED = 30  # problems: nobody reads on, and looking for near names takes time
LONGEST_VALUE = 200  # characters of a value in a message
# blocks that hold keys of a model beside arguments; the check of the arguments finds their unknown keys
SHARED = (("train", "optim_g"), ("datasets", "train"))


class Problem(NamedTuple):
    """One thing that is wrong in an option file.

    Args:
        keys: Where it stands, from the top of the file.
        text: What is wrong and how to mend it.
    """

    keys: Keys
    text: str


class Key(NamedTuple):
    """An option key.

    Args:
        kind: Kind of value, as an annotation.
        text: What it does, for editors and lists.
        least: The smallest number that is allowed, or of each in a list.
        above: Numbers must be greater.
        below: Numbers must be less.
        empty: Whether it may be left empty, which means: off.
    """

    kind: Any
    text: str
    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    empty: bool = True

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value; None if it is right."""
        if value is None and self.empty:
            return None
        if self._takes(value):
            return None
        below = LIMIT if any(abs(number) >= LIMIT for number in _numbers(value)) else self.below
        expected = f"is {short(value)}; expected {kind_of(self.kind, _bounds(self.least, self.above, below))}"
        if isinstance(value, float) and value.is_integer() and self._takes(int(value)):
            return f"{expected}; write {int(value)}"
        return expected

    def _takes(self, value: Any) -> bool:
        return fits(value, self.kind) and all(map(self._holds, _numbers(value)))

    def _holds(self, number: float) -> bool:
        # false for nan, which compares as false with everything
        return abs(number) < LIMIT and self.least <= number < self.below and number > self.above


def short(value: Any) -> str:
    """A value as Python writes it, cut if it is long.

    Args:
        value: As YAML gives it.
    """
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _numbers(value: Any) -> list[float]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, int | float) and not isinstance(item, bool)]


def _bounds(least: float, above: float, below: float) -> str:
    if least > -math.inf and below < math.inf:
        return f" from {least:g} to below {below:g}"
    bounds = [f"of at least {least:g}"] if least > -math.inf else []
    bounds += [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    return " " + " and ".join(bounds) if bounds else ""


def report(problems: Iterable[Problem], path: str, force: Iterable[str] | None = None) -> None:
    """Raise UserError if there are problems, in the order of the file, a line for each:

    "file:line: block:key: what is wrong and how to mend it".

    Args:
        problems: In any order; no more than MOST_REPORTED are taken.
        path: The option file.
        force: The `K:K=V` overrides that are already in the options; a problem in them names no line.
    """
    found = list(itertools.islice(problems, MOST_REPORTED + 1))
    if not found:
        return
    forced = [tuple(key.strip() for key in entry.partition("=")[0].split(":")) for entry in force or ()]
    line_of, lines = key_lines(path), []
    for keys, text in found[:MOST_REPORTED]:
        own = next((i for i, key in enumerate(forced) if keys[: len(key)] == key), None)
        line = line_of(keys)
        where = "--force_yml" if own is not None else f"{path}:{line}" if line else path
        place = (0, line) if own is None else (1, own)
        lines.append((place, " ".join(f"{where}: {':'.join(keys)}: {text}".splitlines())))
    ordered = [text for _, text in sorted(lines, key=itemgetter(0))]
    if len(found) > MOST_REPORTED:
        ordered.append(f"{path}: there are more problems than these {MOST_REPORTED}; mend these first")
    raise UserError("\n".join(ordered))


def reason(error: BaseException) -> str:
    """The message of an exception, in one line."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")  # torch adds its own stack
    return " ".join(text.split()) or type(error).__name__


def declared_problems(options: Options, declared: Mapping[Keys, Key]) -> Iterator[Problem]:
    """Wrong values of declared keys, and unknown keys in blocks that hold nothing else.

    Args:
        options: The whole file.
        declared: What each key takes.
    """
    blocks = {keys[:-1] for keys in declared if len(keys) > 2} - set(SHARED)
    for block in sorted(blocks):
        value = value_at(options, *block)
        if not is_block(value):
            yield Problem(block, "must be a block of keys")
        else:
            yield from unknown_keys(value or {}, block, {k[-1] for k in declared if k[:-1] == block})
    for keys, key in declared.items():
        block = value_at(options, *keys[:-1])
        if isinstance(block, dict) and keys[-1] in block and (fault := key.fault(block[keys[-1]])):
            yield Problem(keys, fault)


def unknown_keys(block: Options, keys: Keys, known: set[str]) -> Iterator[Problem]:
    """A problem for every unknown key of a block; its text suggests the nearest known key.

    Args:
        block: The block.
        keys: Where it stands.
        known: The keys that it may have.
    """
    for key in block:
        if key not in known:
            yield unknown((*keys, str(key)), None, known)


def unknown(keys: Keys, value: Any, known: Iterable[str]) -> Problem:
    """The problem that a key is not known, or that a value names nothing known.

    Args:
        keys: Where it stands, the key last.
        value: The value; None: the key itself is unknown, or, if it is a type, missing.
        known: The names that there are.
    """
    wrong, is_type = keys[-1] if value is None else str(value), keys[-1] in ("type", "model_type")
    # a name of a plugin that was forgotten is easily a little like one of the many known
    near = nearest(wrong, known, 0.6 if is_type else 0.5)
    hint = f"; did you mean '{near}'?" if near else f"; known are {', '.join(sorted(known))}"
    if is_type and value is None:
        return Problem(keys, f"is missing{hint}")
    if is_type:
        plugin = "" if near else " (is it in a plugin? name that with --plugin)"
        return Problem(keys, f"'{shown(wrong)}' is not known{plugin}{hint}")
    return Problem(keys, f"unknown key{hint}")


def is_block(value: Any) -> bool:
    """Whether a value is a block of keys, or empty."""
    return value is None or isinstance(value, dict)


def value_at(block: Any, *keys: str) -> Any:
    """block[key][key]...; None if a key is missing.

    Args:
        block: A block, or anything else, which has no keys.
        keys: From the block down.
    """
    for key in keys:
        block = block.get(key) if isinstance(block, dict) else None
    return block
