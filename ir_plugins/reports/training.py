"""report.html of a training run: how far it is, its best figures, curves, pictures and options, in one file.

The page needs nothing beside it and no network.  report_page.html is its layout.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import yaml

from basicsr.utils import get_root_logger

from ..models.samples import Sample
from ..options.reading import Options
from ..runtime.storage import written_whole
from .charts import Point, Series, chart, is_number
from .figures import figures

BANDED = """<p class="note">Long curves are drawn as means of neighbouring entries, in a band from the
smallest to the largest of them.</p>"""
Entries = Sequence[Mapping[str, Any]]


def write_report(
    path: Path, opt: Options, history: dict, samples: Sequence[Sample], versions: Mapping[str, str]
) -> None:
    """Write the page, whole or not at all.  Where it cannot be written the log says why, and the run goes on.

    opt: completed options.  history: {"losses": [{"iter", "lr", loss: value, ...}, ...], "metrics": [{"iter",
    "dataset", metric: value, ...}, ...]}; values may be NaN or infinite.  versions: name -> version.
    """
    try:
        # a file's name may hold what is no text
        data = page(opt, history, samples, versions).encode("utf-8", errors="replace")
        with written_whole(path, durable=False) as file:
            file.write(data)
    except Exception as error:  # no picture and no number is worth the end of a run
        reason = getattr(error, "strerror", None) or error
        get_root_logger().warning(f"{path}: the report cannot be written: {reason}")


def page(opt: Options, history: dict, samples: Sequence[Sample], versions: Mapping[str, str]) -> str:
    """The report as HTML; see `write_report` for the arguments."""
    losses, metrics = history.get("losses") or [], history.get("metrics") or []
    last = max((entry["iter"] for entry in [*losses, *metrics]), default=0)
    measured = _measured(metrics, (opt.get("val") or {}).get("metrics") or {})
    curves = "".join(_metric_charts(measured, last) + _loss_charts(losses, last))
    layout = Template((files("ir_plugins.reports") / "page.html").read_text(encoding="utf-8"))
    return layout.substitute(
        name=escape(str(opt["name"])),
        progress=_progress(last, (opt.get("train") or {}).get("total_iter")),
        best=_best_table(measured) or _nothing("No validation has measured anything yet."),
        curves=curves or _nothing("Nothing has been logged yet."),
        banded=BANDED if 'class="band"' in curves else "",
        pictures=figures(samples) or _nothing("No validation has kept pictures yet."),
        options=escape(_as_yaml(opt)),
        versions=_versions_table(versions),
    )


class Measured(NamedTuple):
    """One metric on one dataset: its points in the order of iterations, and the best finite one."""

    metric: str
    dataset: str
    points: Sequence[Point]
    best: Point | None
    lower_is_better: bool


def _measured(metrics: Entries, options: Mapping[str, Any]) -> list[Measured]:
    """Whatever was measured, metrics in the order of the options, datasets in that of the history."""
    names = dict.fromkeys([*options, *(key for entry in metrics for key in entry)])
    datasets = dict.fromkeys(entry["dataset"] for entry in metrics)
    found = []
    for name in (name for name in names if name not in ("iter", "dataset")):
        lower = (options.get(name) or {}).get("better") == "lower"
        for dataset in datasets:
            points = _points([entry for entry in metrics if entry["dataset"] == dataset], name)
            finite = [point for point in points if is_number(point[1])]
            best = (min if lower else max)(finite, key=lambda point: point[1], default=None)
            if points:
                found.append(Measured(name, dataset, points, best, lower))
    return found


def _points(entries: Entries, key: str) -> list[Point]:
    """(iteration, value), in order; of an iteration that a resumed run repeated, the later value."""
    return sorted({entry["iter"]: entry[key] for entry in entries if key in entry}.items())


def _metric_charts(measured: Sequence[Measured], last: int) -> list[str]:
    series: dict[str, list[Series]] = defaultdict(list)
    for one in measured:
        series[one.metric].append(Series(one.dataset, one.points, one.best))
    return [chart(metric, datasets, last=last) for metric, datasets in series.items()]


def _loss_charts(losses: Entries, last: int) -> list[str]:
    names = dict.fromkeys(key for entry in losses for key in entry if key not in ("iter", "lr"))
    charts = [chart(name, [Series(name, _points(losses, name))], last=last, log=True) for name in names]
    if rates := _points(losses, "lr"):
        charts.append(chart("learning rate", [Series("learning rate", rates)], last=last, from_zero=True))
    return charts


def _progress(last: int, total: int | None) -> str:
    now = datetime.now().astimezone()
    text, bar = f"iteration {last:,}", ""
    if total:
        share = min(100, 100 * last / total)
        text += f" of {total:,} ({share:.0f} %)" if share in (0, 100) else f" of {total:,} ({share:.1f} %)"
        bar = f'<div class="bar"><span style="width:{share:.1f}%"></span></div>'
    written = f'<time datetime="{now.isoformat(timespec="seconds")}">{now:%Y-%m-%d %H:%M %Z}</time>'
    return f"{bar}<p>{text}<span>written {written}</span></p>"


def _best_table(measured: Sequence[Measured]) -> str:
    """A <tbody> per dataset, with a row for each of its metrics."""
    if not measured:
        return ""
    rows: dict[str, list[str]] = defaultdict(list)
    for one in measured:
        name = escape(one.metric) + _direction(one)
        rows[one.dataset].append(_cells(name, _value(one.best), _value(one.points[-1])))
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Dataset", "Metric", "Best", "Latest"))
    bodies = "".join(
        f'<tbody><tr><th scope="rowgroup" rowspan="{len(lines)}">{escape(dataset)}</th>'
        f"{'</tr><tr>'.join(lines)}</tr></tbody>"
        for dataset, lines in rows.items()
    )
    return f'<table class="best"><thead><tr>{head}</tr></thead>{bodies}</table>'


def _direction(one: Measured) -> str:
    arrow, better = ("↓", "lower") if one.lower_is_better else ("↑", "higher")
    return f' <span class="arrow" title="{better} is better">{arrow}</span>'


def _value(point: Point | None) -> str:
    if point is None:
        return "none"
    at, value = point
    text = escape(str(value))
    if is_number(value):
        text = f"{value:.4f}" if value == 0 or 1e-2 <= abs(value) < 1e6 else f"{value:.4g}"
    return f"{text} <small>at {at:,}</small>"


def _versions_table(versions: Mapping[str, str]) -> str:
    rows = (f"<tr>{_cells(escape(name), escape(version))}</tr>" for name, version in versions.items())
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _cells(head: str, *others: str) -> str:
    return f'<th scope="row">{head}</th>' + "".join(f"<td>{cell}</td>" for cell in others)


def _as_yaml(opt: Options) -> str:
    # by way of JSON: YAML would write tuples and repeated lists as tags and anchors, and refuse other types
    plain = json.loads(json.dumps(opt, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def _nothing(text: str) -> str:
    return f'<p class="empty">{text}</p>'
