"""What the report of a training shows of single pictures: a table of their figures, and the pictures."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from markupsafe import Markup

from ..models.baseline import input_title
from ..models.results import SetResult
from ..runtime.regular import read_regular
from .charts import is_number
from .figures import KINDS, Figure, figures
from .layout import template

ROWS = 300  # of a table
LOWEST, TALLEST = 280, 560  # px of a row of pictures
MOST_BYTES = 64 << 20  # of a report that is read again
MARKS = "<!-- single pictures -->", "<!-- end of single pictures -->"


class Shown(NamedTuple):
    """A validation of one dataset.

    Args:
        iteration: When it was measured.
        found: Its results.
    """

    iteration: int
    found: SetResult


class Cell(NamedTuple):
    """One metric of one picture.

    Args:
        value: Of the result; None if it was not measured.
        baseline: Of the input; None if it was not measured.
    """

    value: float | None
    baseline: float | None

    @property
    def gain(self) -> float | None:
        """The result's value less the input's."""
        both = is_number(self.value) and is_number(self.baseline)
        return self.value - self.baseline if both else None  # pyright: ignore[reportOperatorIssue]


class PictureTable(NamedTuple):
    """The figures of a dataset's pictures.

    Args:
        dataset: Its name.
        iteration: When it was measured.
        input: What its inputs are called; "" if none was measured.
        metrics: Names, and whether lower values are better.
        rows: For each picture its name and its cells.
        left_out: Pictures that have no row.
    """

    dataset: str
    iteration: int
    input: str
    metrics: dict[str, bool]
    rows: list[tuple[str, list[Cell]]]
    left_out: int


def sections(shown: Sequence[Shown], blocks: Mapping[str, Any]) -> Markup:
    """The sections as HTML, between two comments by which `earlier_sections` finds them.

    Args:
        shown: A validation of each dataset.
        blocks: Blocks of the metrics, by name.
    """
    samples = [sample for one in shown for sample in one.found.samples]
    iterations = [one.iteration for one in shown for _ in one.found.samples]
    made = figures(samples)
    html = template("parts.html").module.single_pictures(  # pyright: ignore[reportAttributeAccessIssue]
        tables=[table for one in shown if (table := _table(one, blocks)) is not None],
        figures=list(zip(made, iterations, strict=True)),
        kinds=KINDS,
        height=_height(made),
    )
    return Markup("\n").join([Markup(MARKS[0]), html.strip(), Markup(MARKS[1])])


def earlier_sections(report: Path) -> Markup | None:
    """The sections of a report that was written before; None if there are none."""
    try:
        text = read_regular(report, MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    # names are escaped, so no name can be one of the comments
    found = re.search(f"{MARKS[0]}.*?{MARKS[1]}", text, re.DOTALL)
    return Markup(found[0]) if found else None


def _height(shown: Sequence[Figure]) -> float:
    """The height of a row of pictures, in px: about their own, so that small ones stay side by side."""
    return min(TALLEST, max(LOWEST, median(figure.height for figure in shown))) if shown else LOWEST


def _table(shown: Shown, blocks: Mapping[str, Any]) -> PictureTable | None:
    """The table of a dataset; None if there is nothing in it."""
    pictures = shown.found.pictures or []
    names = {name: (block or {}).get("better") == "lower" for name, block in blocks.items()}
    metrics = {name: lower for name, lower in names.items() if any(name in one.metrics for one in pictures)}
    if not metrics:
        return None
    rows = [
        (one.image, [Cell(one.metrics.get(name), (one.baseline or {}).get(name)) for name in metrics])
        for one in pictures[:ROWS]
    ]
    measured = any(cell.baseline is not None for _, cells in rows for cell in cells)
    title = input_title(pictures) if measured else ""
    return PictureTable(
        shown.found.dataset, shown.iteration, title, metrics, rows, max(0, len(pictures) - ROWS)
    )
