"""Whether what a training state holds is what a run can read."""

import json
import math
from collections.abc import Callable
from typing import Any

from ..runtime.arguments import MOST, is_count
from ..runtime.randomness import check_random_state


def unsound(state: Any) -> str | None:
    """The first key whose value a run cannot use; None if there is none.

    Args:
        state: The content of N.state, ours or BasicSR's.
    """
    if not isinstance(state, dict):
        return "content"
    if missing := [key for key in ("iter", "epoch", "optimizers", "schedulers") if key not in state]:
        return missing[0]
    return next((key for key in SOUND if key in state and not _is_sound(key, state[key])), None)


def _is_sound(key: str, value: Any) -> bool:
    try:
        return SOUND[key](value)
    except Exception:  # a tensor where none is expected cannot be compared
        return False


def is_number(value: Any, *, finite: bool = False) -> bool:
    """Whether a value is a number; a bool is none.

    Args:
        value: Anything.
        finite: Whether it must be finite.
    """
    if type(value) is int:
        return abs(value) < MOST
    return type(value) is float and (math.isfinite(value) or not finite)


def _counts(value: Any, length: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == length and all(map(is_count, value))


def _are(value: Any, is_sound: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_sound, value))


def _maps(value: Any, is_sound: Callable[[Any], bool]) -> bool:
    """Whether a value is a dict of texts to sound values."""
    return isinstance(value, dict) and all(isinstance(k, str) and is_sound(v) for k, v in value.items())


def _is_optimizer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("state"), dict)
        and all(isinstance(moments, dict) for moments in value["state"].values())
        and _are(value.get("param_groups"), lambda group: _maps(group, lambda _: True))
    )


def _is_random(value: Any) -> bool:
    check_random_state(value)
    return True


def _is_row(row: Any, texts: set[str]) -> bool:
    """Whether a value is a row of the history: numbers, and `texts`."""
    return (
        _maps(row, lambda item: isinstance(item, str) or is_number(item))
        and is_count(row.get("iter"))
        and {key for key, item in row.items() if isinstance(item, str)} == texts
    )


def _is_history(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _are(value.get("losses"), lambda row: _is_row(row, set()))
        and _are(value.get("metrics"), lambda row: _is_row(row, {"dataset"}))
    )


def _is_record(value: Any) -> bool:
    """Whether a value is the best result of a metric, as BasicSR keeps it."""
    return (
        isinstance(value, dict)
        and value.get("better") in ("higher", "lower")
        and is_number(value.get("val"))
        and type(value.get("iter")) is int
    )


def _is_recipe(value: Any) -> bool:
    read = json.loads(value)
    return isinstance(read, dict) and isinstance(read["optim_g"], dict) and "type" in read["optim_g"]


def _is_scaler(value: Any) -> bool:
    if value == {}:  # of a run without one
        return True
    numbers = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
    return (
        isinstance(value, dict)
        and value.keys() == set(numbers)
        and all(is_number(value[key], finite=True) and value[key] >= 0 for key in numbers)
        and type(value["growth_interval"]) is type(value["_growth_tracker"]) is int
        and value["growth_interval"] > 0
        and 0 < value["backoff_factor"] < 1 < value["growth_factor"]
    )


# a check of each key that a run reads from a training state
SOUND: dict[str, Callable[[Any], bool]] = {
    "iter": is_count,
    "epoch": is_count,
    "place": lambda value: _counts(value, 2),
    "seed": is_count,
    "skipped": lambda value: _counts(value, 2),
    "optimizers": lambda value: _are(value, _is_optimizer),
    "schedulers": lambda value: _are(
        value, lambda one: _maps(one, lambda _: True) and is_count(one.get("last_epoch"))
    ),
    "random": lambda value: _are(value, _is_random),
    "history": _is_history,
    "best": lambda value: _maps(value, lambda records: _maps(records, _is_record)),
    "moments": lambda value: _are(value, is_count),
    "files": lambda value: _maps(value, lambda digest: isinstance(digest, str)),
    "recipe": _is_recipe,
    "scaler": _is_scaler,
}
