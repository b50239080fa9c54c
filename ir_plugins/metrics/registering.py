"""Register a metric with BasicSR."""

import functools
from collections.abc import Callable
from typing import Any, Literal

from basicsr.utils.registry import METRIC_REGISTRY

from ..runtime.errors import UserError
from .pictures import Picture

Metric = Callable[..., float]


def metric(
    *, better: Literal["higher", "lower"] = "higher", rehearse: Callable[..., object] | None = None
) -> Callable[[Metric], Metric]:
    """Register f(img, img2, *, ...) under its name, for `basicsr.metrics.calculate_metric`.

    A UserError's message begins with the metric's name; a dataset without GT raises one.

    Args:
        better: Which values are better, for a block of `val:metrics` that does not say so.
        rehearse: `basicsr check` calls it with the block's arguments instead of f, if f would fetch
            something.
    """

    def register(function: Metric) -> Metric:
        name = function.__name__

        @functools.wraps(function)
        def measure(img: Picture, img2: Picture | None = None, *, better: Any = None, **arguments) -> float:
            if img2 is None:
                raise UserError(
                    f"{name}: compares with GT, which this dataset lacks; take it out of val:metrics"
                )
            try:
                return float(function(img, img2, **arguments))
            except UserError as error:
                raise UserError(f"{name}: {error}") from error

        vars(measure).update(better=better, rehearse=rehearse)
        METRIC_REGISTRY.register(measure)
        return measure

    return register
