"""report.html of a training run: progress, best figures, curves, pictures and options, in one file.

The file needs no other file and no network.  Its layout is page.html, a template that escapes all inserted
texts.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup

from basicsr.utils import get_root_logger

from ..models.baseline import input_name
from ..models.results import mean
from ..options.reading import Options
from ..runtime.storage import written_whole
from .charts import Point, Series, chart, is_number
from .layout import template

Entries = Sequence[Mapping[str, Any]]


class Progress(NamedTuple):
    """How far a run is.

    Args:
        iteration: The last one that is done.
        seconds: Time that all sessions of the run have taken; None: unknown.
        step: Mean seconds of a step; None: unknown, or the run does not train now.
        left: Seconds until the end; None: unknown.
        resumes: The iterations at which the run was resumed.
    """

    iteration: int
    seconds: float | None = None
    step: float | None = None
    left: float | None = None
    resumes: Sequence[int] = ()


def write_report(path: Path, text: Callable[[], str]) -> bool:
    """Write the page, whole or not at all.  If that fails, the log says why and the run continues.

    Args:
        path: The file.
        text: Makes the page.

    Returns:
        Whether it is written.
    """
    try:
        # a file's name may not be valid text
        data = text().encode("utf-8", errors="replace")
        with written_whole(path, durable=False) as file:
            file.write(data)
    except Exception as error:  # a report must not end a run
        reason = getattr(error, "strerror", None) or error
        get_root_logger().warning(f"{path}: the report cannot be written: {reason}")
        return False
    return True


def page(
    opt: Options,
    history: dict[str, Any],
    pictures: Markup,
    versions: Mapping[str, str],
    progress: Progress,
) -> str:
    """The report as HTML.

    Args:
        opt: Completed options.
        history: {"losses": [{"iter", "lr", loss: value, ...}, ...], "metrics": [{"iter", "dataset", metric:
            value, ...}, ...]}; values may be NaN or infinite.  "inputs" holds, by dataset, what
            `models.baseline.InputMetrics` remembers.
        pictures: The sections about single pictures, from `single_pictures.sections`.
        versions: Versions of each package, by name.
        progress: How far the run is.
    """
    losses, metrics = history.get("losses") or [], history.get("metrics") or []
    last = max((entry["iter"] for entry in [*losses, *metrics]), default=0)
    last = max(last, progress.iteration)
    options = (opt.get("val") or {}).get("metrics") or {}
    measured = _measured(metrics, options, history.get("inputs"))
    best: dict[str, list[Measured]] = defaultdict(list)
    for one in measured:
        best[one.dataset].append(one)
    resumes = sorted({at for at in progress.resumes if 0 < at <= last})
    charts = [*_metric_charts(measured, last, resumes), *_loss_charts(losses, last, resumes)]
    return template("page.html").render(
        name=str(opt["name"]),
        progress=progress._replace(iteration=last, resumes=resumes),
        total=(opt.get("train") or {}).get("total_iter"),
        now=datetime.now().astimezone(),
        best=best,
        charts=[Markup(svg) for svg in charts],  # charts.py escapes names itself
        banded=any('class="band"' in svg for svg in charts),
        pictures=pictures,
        options=_as_yaml(opt),
        versions=versions,
    )


class Measured(NamedTuple):
    """One metric on one dataset.

    Args:
        metric: Its name.
        dataset: Its name.
        points: (iteration, value), in the order of iterations.
        best: The best finite point, if any.
        lower_is_better: Which way is better.
        baseline: The mean of the inputs; None if it is unknown.
        input: What the inputs are called.
    """

    metric: str
    dataset: str
    points: Sequence[Point]
    best: Point | None
    lower_is_better: bool
    baseline: float | None
    input: str


def _measured(metrics: Entries, options: Mapping[str, Any], inputs: Any) -> list[Measured]:
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
                found.append(Measured(name, dataset, points, best, lower, *_baseline(inputs, dataset, name)))
    return found


def _baseline(inputs: Any, dataset: str, metric: str) -> tuple[float | None, str]:
    """The mean of the inputs, and what they are called."""
    try:  # a training state may hold anything
        entry = inputs[dataset][metric]
        values = [float(value) for value in entry["values"] if value is not None]
        return mean(values) if values else None, input_name(int(entry["times"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, ""


def _points(entries: Entries, key: str) -> list[Point]:
    """(iteration, value), in order; of an iteration that a resumed run repeated, the later value."""
    return sorted({entry["iter"]: entry[key] for entry in entries if key in entry}.items())


def _metric_charts(measured: Sequence[Measured], last: int, resumes: Sequence[int]) -> list[str]:
    series: dict[str, list[Series]] = defaultdict(list)
    for one in measured:
        series[one.metric].append(Series(one.dataset, one.points, one.best, one.baseline))
    return [chart(metric, datasets, last=last, resumes=resumes) for metric, datasets in series.items()]


def _loss_charts(losses: Entries, last: int, resumes: Sequence[int]) -> list[str]:
    names = dict.fromkeys(key for entry in losses for key in entry if key not in ("iter", "lr"))
    charts = [
        chart(name, [Series(name, _points(losses, name))], last=last, log=True, resumes=resumes)
        for name in names
    ]
    if rates := _points(losses, "lr"):
        one = Series("learning rate", rates)
        charts.append(chart("learning rate", [one], last=last, from_zero=True, resumes=resumes))
    return charts


def _as_yaml(opt: Options) -> str:
    # through JSON: YAML would write tuples and repeated lists as tags and anchors, and refuse other types
    plain = json.loads(json.dumps(opt, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
