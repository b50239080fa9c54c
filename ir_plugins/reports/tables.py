"""metrics.csv and metrics.md of a test: the results of every picture, and their means."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from ..models.baseline import input_title
from ..models.results import PictureResult, baseline_means, first_fault, means, not_finite
from ..runtime.storage import written_whole

INPUT = (
    "rows named so are of the inputs themselves, without a network; smaller ones are enlarged by MATLAB's "
    "bicubic interpolation of whole grey levels"
)
BEFORE, AFTER = ("dataset", "group", "image", "height", "width"), ("seconds", "peak_mb")
MB = 1e6


def write_tables(
    folder: str | Path,
    name: str,
    rows: Sequence[PictureResult],
    metrics: Mapping[str, Any],
    how: Mapping[str, str],
) -> None:
    """Write metrics.csv and metrics.md, each whole or not at all.

    Args:
        folder: Where to write.
        name: Name of the run.
        rows: Results of all pictures, one dataset after the other.
        metrics: Blocks of the metrics, by name.
        how: Notes about the measurement, by keyword.

    Raises:
        OSError: A file cannot be written.
    """
    for file, text in (
        ("metrics.csv", as_csv(rows, metrics)),
        ("metrics.md", as_markdown(name, rows, metrics, how)),
    ):
        with written_whole(Path(folder, file)) as out:
            out.write(text.encode("utf-8", errors="replace"))  # a file's name may not be valid text


def as_csv(rows: Iterable[PictureResult], metrics: Iterable[str]) -> str:
    """metrics.csv: a line for each picture.  Metrics have all their digits; unknown values are empty.

    Columns: dataset, group, image; height, width of the result in pixels; the metrics; seconds of the forward
    pass; peak_mb, its memory in 10^6 bytes (see MEANING in runtime/machine.py).  If inputs were measured:
    input_METRIC, each metric of the input itself; input_enlarged, how many times it was enlarged for that.

    Args:
        rows: Rows of the pictures.
        metrics: Their names.
    """
    names, text, rows = list(metrics), io.StringIO(), list(rows)
    writer = csv.writer(text, lineterminator="\n")
    measured = any(row.baseline for row in rows)
    of_inputs = [*(f"input_{name}" for name in names), "input_enlarged"] if measured else []
    writer.writerow([*BEFORE, *names, *AFTER, *of_inputs])
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.6f}"
        peak = "" if row.peak_bytes is None else f"{row.peak_bytes / MB:.3f}"
        cells = [*row[:5], *(row.metrics.get(name, "") for name in names), seconds, peak]
        if measured:
            found = row.baseline or {}
            cells += [*(found.get(name, "") for name in names), row.enlarged if found else ""]
        writer.writerow(cells)
    return text.getvalue()


def as_markdown(
    name: str, rows: Sequence[PictureResult], metrics: Mapping[str, Any], how: Mapping[str, str]
) -> str:
    """metrics.md; `write_tables` explains the arguments."""
    blocks = {
        key: yaml.safe_dump(block, default_flow_style=True, sort_keys=False, width=1000)
        for key, block in metrics.items()
    }
    first = rows[0] if rows else None
    warm_up = f" ({first.dataset}, {first.image}: {first.seconds:.3g} s)" if first and first.seconds else ""
    notes = {
        **how,
        **blocks,
        **({"input": INPUT} if any(row.baseline for row in rows) else {}),
        "means": "over pictures, of the values that are finite",
        "median s": "over pictures, of the forward pass alone, which warms up in the first picture" + warm_up,
        "date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}",
    }
    parts = [
        f"# {_line(name)}",
        summary(rows, metrics),
        _items(remarks(rows, metrics)),
        "## How it was measured",
        _items(f"{key}: {text}" for key, text in notes.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(rows: Iterable[PictureResult], metrics: Iterable[str]) -> str:
    """A Markdown table: a line for each dataset, and above it one for each of its groups if it has several.

    A line has the means of the metrics, the median of the seconds and the largest peak of memory.  Below each
    stands one with the means of its inputs, if they were measured.

    Args:
        rows: Rows of the pictures, one dataset after the other.
        metrics: Their names.
    """
    names = list(metrics)
    lines = [["dataset", "images", *names, "median s", "peak MB"]]
    for dataset, found in _by_dataset(rows):
        groups = dict.fromkeys(row.group for row in found)
        for group in groups if len(groups) > 1 else ():
            members = [row for row in found if row.group == group]
            lines += _with_inputs(f"{dataset} / {group}", members, names)
        lines += _with_inputs(dataset, found, names)
    cells = [[_line(cell).replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    head, *body = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]  # text left, numbers right
        for line in cells
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def remarks(rows: Iterable[PictureResult], metrics: Iterable[str]) -> Iterator[str]:
    """Notes about single pictures, for readers of the table.

    Args:
        rows: Rows of the pictures, one dataset after the other.
        metrics: Their names.
    """
    names = list(metrics)
    for _, found in _by_dataset(rows):
        for name in names:
            counted = math.isfinite(means(found, [name]).get(name, math.nan))
            for note in not_finite(found, [name]):
                yield f"{note}; left out of the mean" if counted else note
        if faults := first_fault(found):
            yield faults


def _by_dataset(rows: Iterable[PictureResult]) -> Iterator[tuple[str, list[PictureResult]]]:
    for dataset, found in groupby(rows, key=attrgetter("dataset")):
        yield dataset, list(found)


def _with_inputs(title: str, rows: Sequence[PictureResult], metrics: Sequence[str]) -> Iterator[list[str]]:
    """A line of the table, and that of the inputs."""
    yield [title, *_figures(rows, metrics)]
    if found := baseline_means(rows, metrics):
        count = sum(bool(row.baseline) for row in rows)
        yield [f"{title}: {input_title(rows)}", str(count), *_cells(found, metrics), "", ""]


def _cells(found: Mapping[str, float], metrics: Sequence[str]) -> list[str]:
    return [f"{found[name]:.4f}" if name in found else "" for name in metrics]


def _figures(rows: Sequence[PictureResult], metrics: Sequence[str]) -> list[str]:
    """The cells of a line of the table."""
    found = means(rows, metrics)
    seconds = [row.seconds for row in rows if row.seconds is not None]
    peaks = [row.peak_bytes for row in rows if row.peak_bytes is not None]
    return [
        str(len(rows)),
        *_cells(found, metrics),
        f"{statistics.median(seconds):.3g}" if seconds else "",
        f"{max(peaks) / MB:.1f}" if peaks else "",
    ]


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_line(line)}" for line in lines)


def _line(text: str) -> str:
    """Text as a single line."""
    return " ".join(text.split())
