"""One thing that is wrong in an option file, and how it is said."""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from basicsr.utils.registry import Registry

from .options import Options
from .signatures import Keys, fits, kind_of

SHARED = ("optim_g",)  # blocks where a model's keys stand beside those of what the block builds


class Problem(NamedTuple):
    """Where in the options, and what is wrong and how to mend it."""

    keys: Keys
    text: str


class Key(NamedTuple):
    """An option key that a model declares: the kind of its value as an annotation, and what it does.

    least, above, below: bounds of a number, least being allowed itself.
    """

    kind: Any
    text: str
    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, None where nothing is; an empty value means: off."""
        if value is None:
            return None
        bounds = [f"of at least {self.least:g}"] if self.least > -math.inf else []
        bounds += [f"above {self.above:g}"] if self.above > -math.inf else []
        bounds += [f"below {self.below:g}"] if self.below < math.inf else []
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = not number or (self.least <= value < self.below and value > self.above)
        if fits(value, self.kind) and inside:
            return None
        return f"is {value!r}; expected {' '.join([kind_of(self.kind), ' and '.join(bounds)]).rstrip()}"


def declared_problems(options: Options, declared: Mapping[Keys, Key]) -> Iterator[Problem]:
    """Problems of the values of declared keys, and of unknown keys in the blocks that only they stand in."""
    blocks = {keys[:-1] for keys in declared if len(keys) > 2}
    for block in sorted(blocks):
        value = value_at(options, *block)
        if not is_block(value):
            yield Problem(block, "must be a block of keys")
        elif block[-1] not in SHARED:
            yield from unknown_keys(value or {}, block, {k[-1] for k in declared if k[:-1] == block})
    for keys, key in declared.items():
        if fault := key.fault(value_at(options, *keys)):
            yield Problem(keys, fault)


def unknown_keys(block: Options, keys: Keys, known: set[str]) -> Iterator[Problem]:
    """A problem for every key of the block at `keys` that is not known, with the nearest one that is."""
    for key in block:
        if key not in known:
            yield unknown((*keys, str(key)), None, known)


def unknown(keys: Keys, value: Any, known: Iterable[str]) -> Problem:
    """That the last of `keys` is not known; or, with a value, that it names nothing known."""
    wrong = keys[-1] if value is None else str(value)
    near = difflib.get_close_matches(wrong, sorted(known), n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(sorted(known))}"
    if keys[-1] in ("type", "model_type"):
        return Problem(keys, ("is missing" if value is None else f"'{value}' is not known") + hint)
    return Problem(keys, f"unknown key{hint}")


def entries(registry: Registry) -> dict[str, Callable]:
    """What is registered, by every name that an option file may give it.

    BasicSR registers some classes as NAME_basicsr, and finds them by NAME unless that is somebody else's.
    """
    named = dict(iter(registry))
    return {name.removesuffix("_basicsr"): item for name, item in named.items()} | named


def registered(registry: Registry, name: Any) -> Any:
    """What is registered under that name, None where nothing is."""
    # not registry.get, which prints a line about a suffix whenever a name is missing
    return entries(registry).get(str(name))


def is_block(value: Any) -> bool:
    """Whether it is a block of keys, or an empty one."""
    return value is None or isinstance(value, dict)


def value_at(block: Any, *keys: str) -> Any:
    """block[key][key]..., None where one of them is missing."""
    for key in keys:
        block = block.get(key) if isinstance(block, dict) else None
    return block


def count_problems(options: Options, keys: Keys) -> Iterator[Problem]:
    """A problem where something other than a whole number from 1 stands at `keys`."""
    value = value_at(options, *keys)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        yield Problem(keys, f"is {value!r}; expected a whole number of at least 1")
