"""Which training state a run goes on from."""

from pathlib import Path
from typing import Any

import torch

from basicsr.utils import check_resume

from .errors import UserError
from .options import Options
from .preflight import check_weights
from .storage import is_intact


def find_state(opt: Options) -> tuple[dict[str, Any] | None, list[str]]:
    """The training state to go on from, None to begin anew; and what there is to say about it.

    With `auto_resume` it is the newest that is intact and has its weights, else `path:resume_state`.  The
    options then name it and its weights.  Raises UserError where there are states but none can be used.
    """
    named = opt["path"]["resume_state"]
    found = _states(opt) if opt["auto_resume"] else []
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


def _states(opt: Options) -> list[Path]:
    """The training states of the run, newest first."""
    states = Path(opt["path"]["training_states"]).glob("*.state")
    return sorted((f for f in states if f.stem.isdigit()), key=lambda file: int(file.stem), reverse=True)


def _read(path: Path, opt: Options) -> tuple[dict[str, Any], str | None]:
    """A training state, and what is wrong with it or with the weights that belong to it."""
    if not path.is_file():
        return {}, "path:resume_state: no such file"
    if not is_intact(path):
        return {}, "damaged, or not a training state"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        iteration, _, _, _ = (state[key] for key in ("iter", "epoch", "optimizers", "schedulers"))
    except Exception:  # torch reports what it does not understand as several unrelated exception classes
        return {}, "damaged, or not a training state"
    # BasicSR's own states do not say which files belong to them
    files = state.get("files") or {f"net_g_{iteration}.pth": None}
    for name, digest in files.items():
        weights = Path(opt["path"]["models"], Path(name).name)
        if not weights.is_file():
            return {}, f"the weights that belong to it are missing: {weights}"
        if not is_intact(weights, digest):
            return {}, f"the weights that belong to it are damaged or of another run: {weights}"
    return state, None
