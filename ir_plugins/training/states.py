"""Find the training state from which a run continues."""

from pathlib import Path
from typing import Any

from basicsr.utils import check_resume

from ..options.reading import Options
from ..runtime.errors import UserError
from ..runtime.storage import numbered_states, sha256
from ..weights.archives import BadArchive, check, load
from .preflight import check_weights
from .resuming import check_fits_model, rehearsed
from .soundness import unsound


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
            if (model := rehearsed(opt)) is not None:
                check_fits_run(state, model, str(path))
            return state, notes
        notes.append(f"{path}: {fault}")
    if not notes:
        return None, notes
    way_out = "; without --auto_resume a new run begins" if found else ""
    raise UserError(f"nothing to resume from{way_out}: {notes[0] if len(notes) == 1 else '; '.join(notes)}")


def check_fits_run(state: dict[str, Any], model: Any, path: str) -> None:
    """Compare a training state with the model that is to continue from it.

    Args:
        state: As `find_state` returns it.
        model: It has optimizers and schedules.
        path: The training state, for the message.

    Raises:
        UserError: It does not fit.
    """
    try:
        check_fits_model(state, model)
    except ValueError as error:
        raise UserError(f"{path}: does not fit train:optim_g or train:scheduler: {error}") from error


def _read(path: Path, opt: Options) -> tuple[dict[str, Any], str | None]:
    """Read a training state; say what is wrong with it or with its weights, None if nothing is."""
    if not path.is_file():
        return {}, "path:resume_state: no such file"
    try:
        state, _ = load(path)
    except (BadArchive, OSError):
        return {}, "damaged, or not a training state"
    if wrong := unsound(state):
        return {}, f"not a training state of ours or BasicSR's: {wrong} is not what it should be"
    iteration = state["iter"]
    # BasicSR's own states do not name their weights
    files = state.get("files") or {f"net_g_{iteration}.pth": None}
    for name, digest in files.items():
        weights = Path(opt["path"]["models"], Path(name).name)
        if not weights.is_file():
            return {}, f"the weights that belong to it are missing: {weights}"
        if not _is_intact(weights, digest):
            return {}, f"the weights that belong to it are damaged or of another run: {weights}"
    return state, None


def _is_intact(weights: Path, digest: str | None) -> bool:
    """Whether a file has a SHA-256; without one, whether it can be read."""
    try:
        if digest is not None:
            return digest == sha256(weights)
        check(weights)
    except (BadArchive, OSError):
        return False
    return True
