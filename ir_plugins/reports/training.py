"""report.html of a training run: progress, best figures, curves, pictures and options, in one file.

The file needs no other file and no network.  Its layout is page.html, a template that escapes all inserted
texts.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from basicsr.utils import get_root_logger

from ..models.samples import Sample
from ..options.reading import Options
from ..runtime.storage import written_whole
from .charts import Point, Series, chart, is_number
from .figures import KINDS, figures

Entries = Sequence[Mapping[str, Any]]


def write_report(
    path: Path, opt: Options, history: dict, samples: Sequence[Sample], versions: Mapping[str, str]
) -> None:
    """Write the page, whole or not at all.  If that fails, the log says why and the run continues.

    Args:
        path: The file.
        opt: Completed options.
        history: {"losses": [{"iter", "lr", loss: value, ...}, ...], "metrics": [{"iter", "dataset", metric:
            value, ...}, ...]}; values may be NaN or infinite.
        samples: Pictures of the last validation.
        versions: Versions of each package, by name.
    """
    try:
        # a file's name may not be valid text
        data = page(opt, history, samples, versions).encode("utf-8", errors="replace")
        with written_whole(path, durable=False) as file:
            file.write(data)
    except Exception as error:  # a report must not end a run
        reason = getattr(error, "strerror", None) or error
        get_root_logger().warning(f"{path}: the report cannot be written: {reason}")


def page(opt: Options, history: dict, samples: Sequence[Sample], versions: Mapping[str, str]) -> str:
    """The report as HTML; `write_report` explains the arguments."""
    losses, metrics = history.get("losses") or [], history.get("metrics") or []
    last = max((entry["iter"] for entry in [*losses, *metrics]), default=0)
    measured = _measured(metrics, (opt.get("val") or {}).get("metrics") or {})
    best: dict[str, list[Measured]] = defaultdict(list)
    for one in measured:
        best[one.dataset].append(one)
    charts = [*_metric_charts(measured, last), *_loss_charts(losses, last)]
    return _layout().render(
        name=str(opt["name"]),
        last=last,
        total=(opt.get("train") or {}).get("total_iter"),
        now=datetime.now().astimezone(),
        best=best,
        charts=[Markup(svg) for svg in charts],  # charts.py escapes names itself
        banded=any('class="band"' in svg for svg in charts),
        figures=figures(samples),
        kinds=KINDS,
        options=_as_yaml(opt),
        versions=versions,
    )


@cache
def _layout() -> Template:
    loader = PackageLoader(__package__, "")
    blanks = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **blanks)
    environment.filters["number"] = _number
    return environment.get_template("page.html")


def _number(value: Any) -> str:
    if not is_number(value):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-2 <= abs(value) < 1e6 else f"{value:.4g}"


class Measured(NamedTuple):
    """One metric on one dataset.

    Args:
        metric: Its name.
        dataset: Its name.
        points: (iteration, value), in the order of iterations.
        best: The best finite point, if any.
        lower_is_better: Which way is better.
    """

    metric: str
    dataset: str
    points: Sequence[Point]
    best: Point | None
    lower_is_better: bool


def _measured(metrics: Entries, options: Mapping[str, Any]) -> list[Measured]:
    """Everything measured: metrics in the order of the options, datasets in the order of the history."""
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


def _as_yaml(opt: Options) -> str:
    # through JSON: YAML would write tuples and repeated lists as tags and anchors, and refuse other types
    plain = json.loads(json.dumps(opt, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
