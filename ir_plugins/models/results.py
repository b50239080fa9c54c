"""The results of a validation: of each picture, and their means."""

import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from ..options.problems import reason
from ..options.registries import registered
from ..pictures.files import IMAGE_SUFFIXES
from .samples import Sample


class PictureResult(NamedTuple):
    """The results of one restored picture.

    Args:
        dataset: Its dataset's name.
        group: The part of the dataset that it belongs to; "" if there is one part only.
        image: Its name.
        height: Height of the result, pixels.
        width: Width of the result, pixels.
        metrics: Values by the metrics' names, without metrics that could not be measured.
        seconds: Seconds of the forward pass; None if it was not measured.
        peak_bytes: Memory of the forward pass; None if it was not measured.
        fault: What went wrong; "" if nothing did.
        baseline: The same metrics of the input itself; None or empty if it cannot stand beside the result.
        enlarged: How many times the input was enlarged to be measured.
    """

    dataset: str
    group: str
    image: str
    height: int
    width: int
    metrics: dict[str, float]
    seconds: float | None = None
    peak_bytes: int | None = None
    fault: str = ""
    baseline: dict[str, float] | None = None
    enlarged: int = 1


class SetResult(NamedTuple):
    """The results of one dataset.

    Args:
        dataset: Its name.
        means: A value for each metric that was measured.
        pictures: Each picture, in the dataset's order; None if the model reports means only.
        samples: A few pictures to look at.
    """

    dataset: str
    means: dict[str, float]
    pictures: list[PictureResult] | None
    samples: list[Sample]


def mean(values: Iterable[float]) -> float:
    """The mean of the finite values; of all values if none is finite; NaN if there is no value.

    The PSNR of a picture that equals its GT is infinite and would hide all others.
    """
    values = list(values)
    counted = [value for value in values if math.isfinite(value)] or values
    return sum(counted) / len(counted) if counted else math.nan


def means(pictures: Iterable[PictureResult], names: Iterable[str]) -> dict[str, float]:
    """The mean of each metric.

    Args:
        pictures: They are summed in this order.
        names: Metrics; one that was measured on no picture gets no mean.
    """
    return _means([one.metrics for one in pictures], names)


def baseline_means(pictures: Iterable[PictureResult], names: Iterable[str]) -> dict[str, float]:
    """The same of the inputs; `means` explains the arguments."""
    return _means([one.baseline or {} for one in pictures], names)


def _means(figures: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    values = {name: [one[name] for one in figures if name in one] for name in names}
    return {name: mean(found) for name, found in values.items() if found}


def not_finite(pictures: Iterable[PictureResult], names: Iterable[str]) -> Iterator[str]:
    """A line for each metric that is infinite or not a number on some pictures.

    Args:
        pictures: Pictures of one dataset.
        names: Metrics.
    """
    pictures = list(pictures)
    for name in names:
        measured = [one for one in pictures if name in one.metrics]
        for kind, is_kind in (("infinite", math.isinf), ("not a number", math.isnan)):
            if odd := [one for one in measured if is_kind(one.metrics[name])]:
                where = f"{len(odd)} of {len(measured)} pictures, the first of them {odd[0].image}"
                yield f"{odd[0].dataset}: {name} is {kind} on {where}"


def measure(
    pictures: dict[str, np.ndarray], blocks: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, float], str]:
    """Measure one picture.

    Args:
        pictures: `img` and, if there is GT, `img2`; metrics that compare are left out without it.
        blocks: `val:metrics` of the options.

    Returns:
        The value of each metric that did not fail, and what went wrong, "" if nothing did.
    """
    values, faults = {}, []
    for name, block in blocks.items():
        if "img2" not in pictures and compares(block):
            continue
        try:
            arguments = {key: value for key, value in block.items() if key != "better"}
            values[name] = float(calculate_metric(pictures, arguments))
        except Exception as error:  # a foreign metric may raise anything
            faults.append(f"val:metrics:{name}: {reason(error)}")
    return values, "; ".join(faults)


def first_fault(pictures: Iterable[PictureResult]) -> str:
    """The fault of the first picture that has one, and the number of others; "" if there is none."""
    first, *more = [one for one in pictures if one.fault] or [None]
    if first is None:
        return ""
    others = f" (and {len(more)} more picture{'s' if len(more) > 1 else ''})" if more else ""
    return f"{first.dataset}: picture {first.image}: {first.fault}{others}"


def compares(block: Mapping[str, Any]) -> bool:
    """Whether the metric of a block of `val:metrics` needs GT."""
    metric = registered(METRIC_REGISTRY, block["type"])
    return "img2" in inspect.signature(metric).parameters


def picture_name(data: Mapping[str, Any], opt: Mapping[str, Any]) -> str:
    """Name a picture by its place below its dataset's folder, without an ending.

    The name never leads out of the folder that it is used in.  a.jpg beside a.png keeps its ending.

    Args:
        data: A batch of one; it has `name`, or `lq_path`, which is a file or the key of an LMDB.
        opt: The dataset's block.
    """
    if "name" in data:
        name = data["name"][0]
    else:
        path = Path(data["lq_path"][0])
        roots = [Path(root) for key, root in opt.items() if key.startswith("dataroot") and root]
        if any(root.suffix == ".lmdb" for root in roots):  # BasicSR removes the type from io_backend
            name = path.as_posix()
        else:
            root = next((root for root in roots if root in path.parents), path.parent)
            name = path.relative_to(root)
            name = (name if _has_twin(path) else name.with_suffix("")).as_posix()
    parts = [re.sub(r"[\x00-\x1f]", "_", part) for part in re.split(r"[/\\]", name)]
    return "/".join(part for part in parts if part.strip(". ")) or "picture"


def _has_twin(path: Path) -> bool:
    """Whether a picture of the same name but for the ending lies beside it."""
    endings = {form for ending in IMAGE_SUFFIXES for form in (ending, ending.upper())}
    endings = {ending for ending in endings if ending.lower() != path.suffix.lower()}
    return any(path.with_suffix(ending).exists() for ending in endings)
