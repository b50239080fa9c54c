"""The templates of the training report; they escape all inserted texts."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .charts import is_number


@cache
def template(name: str) -> Template:
    """A template of this folder.

    Args:
        name: Its file.
    """
    blanks = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined, **blanks
    )
    environment.filters |= {
        "number": number,
        "gain": gain,
        "duration": duration,
        "speed": speed,
        "thousands": "{:,}".format,
    }
    return environment.get_template(name)


def number(value: Any) -> str:
    """A measured value as people read it."""
    if value is None:
        return ""
    if not is_number(value):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-2 <= abs(value) < 1e6 else f"{value:.4g}"


def gain(value: float | None) -> str:
    """A difference, with its sign."""
    if value is None:
        return ""
    return f"{value:+.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:+.2g}"


def speed(seconds: float) -> str:
    """What a step takes, in words: "4 iterations/s" or "2.5 s per iteration".

    Args:
        seconds: Of a step.
    """
    return f"{1 / seconds:.3g} iterations/s" if seconds < 1 else f"{seconds:.3g} s per iteration"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter: 2 d 3 h, 2 h 13 min, 4 min, 12 s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
