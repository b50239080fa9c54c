"""Find the training state from which a run continues."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from basicsr.utils import check_resume

from ..options.reading import Options
from ..runtime.errors import UserError
from ..runtime.storage import is_intact, numbered_states
from .preflight import check_weights


def find_state(opt: Options) -> tuple[dict[str, Any] | None, list[str]]:
    """Find the training state to continue from.

    With `auto_resume` it is the newest state that is intact and has its weights, else `path:resume_state`.

    Args:
        opt: Options of the run; its `path` then names the state and its weights.

    Returns:
        The state, None for a new run, and the faults of newer states.

    Raises:
        UserError: There are states, but none can be used.
    """
    named = opt["path"]["resume_state"]
    found = numbered_states(opt["path"]["training_states"])[::-1] if opt["auto_resume"] else []
    notes = []
    for path in found or ([Path(named)] if named else []):
        state, fault = _read(path, opt)
        if fault is None:
            opt["path"]["resume_state"] = str(path)
            check_resume(opt, state["iter"])
            check_weights(opt, str(path))
            return state, notes
        notes.append(f"{path}: {fault}")
    if not notes:
        return None, notes
    way_out = "; without --auto_resume a new run begins" if found else ""
    raise UserError(f"nothing to resume from{way_out}: {notes[0] if len(notes) == 1 else '; '.join(notes)}")


def _read(path: Path, opt: Options) -> tuple[dict[str, Any], str | None]:
    """Read a training state; say what is wrong with it or with its weights, None if nothing is."""
    if not path.is_file():
        return {}, "path:resume_state: no such file"
    if not is_intact(path):
        return {}, "damaged, or not a training state"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        iteration, _, _, _ = (state[key] for key in ("iter", "epoch", "optimizers", "schedulers"))
    except Exception:  # torch reports damage as several unrelated exception classes
        return {}, "damaged, or not a training state"
    if wrong := [key for key, is_sound in SOUND.items() if key in state and not is_sound(state[key])]:
        return {}, f"not a training state of ours or BasicSR's: {wrong[0]} is not what it should be"
    # BasicSR's own states do not name their weights
    files = state.get("files") or {f"net_g_{iteration}.pth": None}
    for name, digest in files.items():
        weights = Path(opt["path"]["models"], Path(name).name)
        if not weights.is_file():
            return {}, f"the weights that belong to it are missing: {weights}"
        if not is_intact(weights, digest):
            return {}, f"the weights that belong to it are damaged or of another run: {weights}"
    return state, None


def _counts(value: Any, length: int) -> bool:
    """Whether a value is a sequence of so many whole numbers of at least 0."""
    return isinstance(value, list | tuple) and len(value) == length and all(map(_is_count, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _are(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


# a check of each key that a run reads from a training state
SOUND: dict[str, Callable[[Any], bool]] = {
    "iter": _is_count,
    "epoch": _is_count,
    "place": lambda value: _counts(value, 2),
    "seed": _is_count,
    "skipped": lambda value: _counts(value, 2),
    "optimizers": lambda value: _are(value, dict) and all(isinstance(o.get("state"), dict) for o in value),
    "schedulers": lambda value: _are(value, dict) and all(_is_count(s.get("last_epoch")) for s in value),
    "random": lambda value: _are(value, dict) and all({"python", "numpy", "torch"} <= set(r) for r in value),
    "history": lambda value: (
        isinstance(value, dict)
        and all(_are(value.get(rows), dict) for rows in ("losses", "metrics"))
        and all(_is_count(row.get("iter")) for row in value["losses"] + value["metrics"])
    ),
    "best": lambda value: (
        isinstance(value, dict)
        and all(isinstance(records, dict) for records in value.values())
        and all(
            isinstance(r, dict) and {"better", "val", "iter"} <= set(r)
            for d in value.values()
            for r in d.values()
        )
    ),
    "files": lambda value: (
        isinstance(value, dict) and all(isinstance(t, str) for it in value.items() for t in it)
    ),
    "recipe": lambda value: isinstance(value, str) and value.startswith("{"),
    "scaler": lambda value: isinstance(value, dict),
}
