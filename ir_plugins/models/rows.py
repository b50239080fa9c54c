"""What a validation finds out about each picture, and how that becomes one number."""

import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from ..options.problems import reason
from ..options.registries import registered


class Row(NamedTuple):
    """One restored picture.

    group: the part of its dataset that it belongs to, '' where there is one part only.  height, width: of the
    result, pixels.  metrics: by name, without those that could not be taken.  seconds, peak_bytes: of the
    forward pass, None where they were not measured.  fault: what went wrong, '' if nothing did.
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


def mean(values: Iterable[float]) -> float:
    """Of the finite ones; of all of them where none is.  NaN without any.

    The PSNR of a picture that equals its GT is infinite, and would hide all others.
    """
    values = list(values)
    counted = [value for value in values if math.isfinite(value)] or values
    return sum(counted) / len(counted) if counted else math.nan


def means(rows: Iterable[Row], names: Iterable[str]) -> dict[str, float]:
    """Of every metric that was taken of a picture, summed in the order of the rows."""
    rows = list(rows)
    values = {name: [row.metrics[name] for row in rows if name in row.metrics] for name in names}
    return {name: mean(found) for name, found in values.items() if found}


def not_finite(rows: Iterable[Row], names: Iterable[str]) -> Iterator[str]:
    """In words, for every metric of a dataset, on how many pictures it is infinite or not a number."""
    rows = list(rows)
    for name in names:
        taken = [row for row in rows if name in row.metrics]
        for kind, is_kind in (("infinite", math.isinf), ("not a number", math.isnan)):
            if odd := [row for row in taken if is_kind(row.metrics[name])]:
                where = f"{len(odd)} of {len(taken)} pictures, the first of them {odd[0].image}"
                yield f"{odd[0].dataset}: {name} is {kind} on {where}"


def take_metrics(
    pictures: dict[str, np.ndarray], blocks: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, float], str]:
    """The value of every metric that these pictures allow, and what went wrong.

    pictures: `img` and, where there is one, `img2`, without which metrics that compare are left out.
    """
    values, faults = {}, []
    for name, block in blocks.items():
        if "img2" not in pictures and compares(block):
            continue
        try:
            arguments = {key: value for key, value in block.items() if key != "better"}
            values[name] = float(calculate_metric(pictures, arguments))
        except Exception as error:  # whatever a foreign metric makes of a picture
            faults.append(f"val:metrics:{name}: {reason(error)}")
    return values, "; ".join(faults)


def told_faults(rows: Iterable[Row]) -> str:
    """In words the first picture that something went wrong with, and how many more there are; '' if none."""
    first, *more = [row for row in rows if row.fault] or [None]
    if first is None:
        return ""
    others = f" ({len(more)} more {'picture' if len(more) == 1 else 'pictures'} alike)" if more else ""
    return f"{first.dataset}: picture {first.image}: {first.fault}{others}"


def compares(block: Mapping[str, Any]) -> bool:
    """Whether a metric needs GT."""
    metric = registered(METRIC_REGISTRY, block["type"])
    return "img2" in inspect.signature(metric).parameters


def picture_name(data: Mapping[str, Any], opt: Mapping[str, Any]) -> str:
    """What a picture of a batch of one is called: its place below its dataset's folder, without an ending.

    data: may hold `name`; else `lq_path` tells, a file or the key of an LMDB.  opt: the dataset's block.
    Never leads out of the folder that it is used in.
    """
    if "name" in data:
        name = data["name"][0]
    else:
        path = Path(data["lq_path"][0])
        roots = [Path(root) for key, root in opt.items() if key.startswith("dataroot") and root]
        if any(root.suffix == ".lmdb" for root in roots):  # BasicSR takes the type out of io_backend
            name = path.as_posix()
        else:
            root = next((root for root in roots if root in path.parents), path.parent)
            name = path.relative_to(root).with_suffix("").as_posix()
    parts = [re.sub(r"[\x00-\x1f]", "_", part) for part in re.split(r"[/\\]", name)]
    return "/".join(part for part in parts if part.strip(". ")) or "picture"
