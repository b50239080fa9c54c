"""The report of a training run while it runs: written anew now and then, over all resumes."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..models.results import SetResult
from ..options.reading import Options
from ..runtime.machine import versions
from ..runtime.regular import read_regular
from ..runtime.storage import written_whole
from .single_pictures import Shown, earlier_sections, sections
from .training import Progress, page, write_report

EVERY = 60.0  # seconds between two writings
EVERY_FAULT = 600.0  # the same after one that failed: each adds a line to the log
SHARE = 0.01  # of the run's time that they may take
MOST_BYTES = 1 << 20  # of the file of sessions


class LiveReport:
    """report.html of a run, which only rank 0 writes.

    How long each session of a run took stands in a file beside the report, not in the training states: the
    states of a run that was stopped and resumed equal those of a run that was not, to the last bit.

    Args:
        opt: Options of the run.
        history: The run's history.
        iteration: Where this session begins; above 0 in a resumed run.
    """

    def __init__(self, opt: Options, history: dict[str, Any], iteration: int):
        self.opt, self.history, self.start = opt, history, iteration
        root = Path(opt["path"]["experiments_root"])
        self.path, self.file = root / "report.html", root / ".sessions.json"
        self.writes = opt["rank"] == 0
        self.earlier = _sessions(self.file) if self.writes and iteration else []
        self.begun = self.due = time.monotonic()
        self.shown: dict[str, Shown] = {}
        self.sections: Markup | None = None

    def show(self, iteration: int, found: SetResult) -> None:
        """Show a validation from the next writing on.

        Args:
            iteration: Its iteration.
            found: Results of one dataset; they replace the earlier ones.
        """
        self.shown[found.dataset], self.sections = Shown(iteration, found), None

    def refresh(self, iteration: int, step: float) -> None:
        """Write the report if the last writing is long ago.

        Args:
            iteration: The last one that is done.
            step: Mean seconds of a step.
        """
        if self.writes and time.monotonic() >= self.due:
            self.write(iteration, step)

    def write(self, iteration: int, step: float | None = None) -> None:
        """Write the report; `refresh` explains the arguments."""
        if not self.writes:
            return
        now = time.monotonic()
        session = {"from": self.start, "to": iteration, "seconds": now - self.begun}
        sessions = [*self.earlier, session]
        done, total = iteration - self.start, self.opt["train"]["total_iter"]
        progress = Progress(
            iteration=iteration,
            seconds=sum(one["seconds"] for one in sessions),
            step=step,
            # at the pace of this session, validations included
            left=session["seconds"] / done * (total - iteration) if step and done > 0 else None,
            # a run that continues under another name has no sessions before
            resumes=[one["from"] for one in sessions if one["from"]],
        )
        written = write_report(
            self.path, lambda: page(self.opt, self.history, self._sections(), versions(), progress)
        )
        with suppress(OSError), written_whole(self.file, durable=False) as file:
            file.write(json.dumps(sessions).encode())  # the log has said why if there is no room
        pause = EVERY if written else EVERY_FAULT
        self.due = now + max(pause, (time.monotonic() - now) / SHARE)

    def _sections(self) -> Markup:
        """What the page shows of single pictures, made once for all writings."""
        if self.sections is None:
            # until it validates, a resumed run shows what the run before it has shown
            before = earlier_sections(self.path) if self.start and not self.shown else None
            blocks = (self.opt.get("val") or {}).get("metrics") or {}
            self.sections = before or sections([*self.shown.values()], blocks)
        return self.sections


def _sessions(file: Path) -> list[dict[str, Any]]:
    """The sessions of this run before this one, as far as the file can be read."""
    try:
        found = json.loads(read_regular(file, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    return [one for one in found if _is_session(one)] if isinstance(found, list) else []


def _is_session(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and all(type(one.get(key)) is int and 0 <= one[key] < 2**63 for key in ("from", "to"))
        and type(one.get("seconds")) in (int, float)
        and 0 <= one["seconds"] < 1e12
    )
