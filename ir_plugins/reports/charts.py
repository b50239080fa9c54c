"""Line charts of a training run as inline SVG, drawn in plain Python.

A chart is WIDTH x HEIGHT user units; the page scales it to the space it has.  This file escapes all names.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple, SupportsFloat

WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 60, 22, 12, 30  # room for labels, also at the larger type of a phone
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
LIMIT = 300  # points per curve: a curve has no more pixels
DOTS = 60  # a curve with more points shows none of them as a dot
FLATTEST = 4  # a level may stretch the y-axis by this factor; else the caption alone names it
COLOURS = 8  # page.html has .s0 to .s7
SMALLEST_VALUE, LARGEST_VALUE = 1e-100, 1e100  # beyond these, differences vanish or overflow

Point = tuple[float, float]


class Series(NamedTuple):
    """One curve.

    Args:
        name: Name of the curve.
        points: (iteration, value), in the order of iterations.
        mark: A point that gets a ring.
        level: A value to compare with, drawn as a dashed line.
    """

    name: str
    points: Sequence[Point]
    mark: Point | None = None
    level: float | None = None


class Bucket(NamedTuple):
    """Neighbouring points as one.

    Args:
        at: Their mean iteration.
        mean: Their mean value.
        low: Their smallest value.
        high: Their largest value.
    """

    at: float
    mean: float
    low: float
    high: float


class Axis(NamedTuple):
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)


class Axes(NamedTuple):
    x: Axis
    y: Axis

    def place(self, point: Point) -> tuple[str, str]:
        """x and y of a point in user units."""
        x, y = self.x.share(point[0]), self.y.share(point[1])
        return _unit(LEFT + x * INNER_WIDTH), _unit(TOP + (1 - y) * INNER_HEIGHT)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(",".join(self.place(point)) for point in points)


class Curve(NamedTuple):
    """A series as it is drawn."""

    name: str
    colour: int
    buckets: Sequence[Bucket]
    mark: Point | None
    level: float | None


def chart(
    title: str,
    series: Sequence[Series],
    *,
    last: float,
    log: bool = False,
    from_zero: bool = False,
    resumes: Sequence[float] = (),
) -> str:
    """A <figure> of curves over the iterations.

    Points that are not finite are left out, and a note says so.  Curves of more than LIMIT points are drawn
    as means of neighbouring points in a band from their smallest to their largest value.

    Args:
        title: Above the chart.
        series: The curves.
        last: The last iteration.
        log: The y-axis is logarithmic if all values are positive.
        from_zero: A linear y-axis begins or ends at 0.
        resumes: Iterations that get a vertical line: the run was resumed there.
    """
    everything = [
        Curve(
            one.name,
            index % COLOURS,
            decimate(_finite(one.points)),
            one.mark,
            one.level if is_number(one.level) else None,
        )
        for index, one in enumerate(series)
    ]
    curves = [curve for curve in everything if curve.buckets]
    low = min((bucket.low for curve in curves for bucket in curve.buckets), default=0.0)
    high = max((bucket.high for curve in curves for bucket in curve.buckets), default=0.0)
    levels = [curve.level for curve in curves if curve.level is not None]
    if levels and (low == high or max(high, *levels) - min(low, *levels) <= FLATTEST * (high - low)):
        low, high = min(low, *levels), max(high, *levels)
    named = any(curve.name != title for curve in everything)
    caption = [f'<span class="title">{escape(title)}</span>']
    caption += [key for curve in everything for key in _keys(curve, named=named, low=low, high=high)]
    plot = '<p class="empty">no finite values</p>'
    if curves:
        log = log and low > SMALLEST_VALUE
        caption += ['<span class="scale">log scale</span>'] if log else []
        y = log_axis(low, high) if log else linear_axis(low, high, from_zero=from_zero)
        drawn = _svg(title, curves, Axes(_iterations(last), y), resumes)
        plot = f'<div class="plot">{drawn}<div class="tip"></div></div>'
    return (
        f'<figure class="chart"><figcaption>{"".join(caption)}</figcaption>{plot}{_missing(series)}</figure>'
    )


def decimate(points: Sequence[Point], limit: int = LIMIT) -> list[Bucket]:
    """Neighbouring points put together.

    Args:
        points: In the order of iterations.
        limit: Limit of the number of buckets.

    Returns:
        Buckets of equally many points; the last may hold fewer.
    """
    size = math.ceil(len(points) / limit) or 1
    groups = [list(zip(*points[i : i + size], strict=True)) for i in range(0, len(points), size)]
    return [Bucket(fmean(at), fmean(values), min(values), max(values)) for at, values in groups]


def linear_axis(low: float, high: float, *, from_zero: bool = False) -> Axis:
    """An axis with about five ticks, and a little room around low and high.

    Args:
        low: The smallest value.
        high: The largest value.
        from_zero: The axis begins or ends at 0.
    """
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    largest = max(abs(low), abs(high))
    room = 0.04 * (high - low)
    if high - low <= max(1e-5 * largest, SMALLEST_VALUE):  # labels would be longer than there is room
        room = 0.05 * largest if largest > SMALLEST_VALUE else 1.0
    if not (from_zero and high == 0 > low):
        high += room
    if not (from_zero and low == 0):
        low -= room
    step = _round_step((high - low) / 6)
    ticks = [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, ticks)


def log_axis(low: float, high: float) -> Axis:
    """An axis for positive numbers, with ticks at decades, or between them if there are few.

    Args:
        low: The smallest value.
        high: The largest value.
    """
    room = max(0.04 * (math.log(high) - math.log(low)), 0.1)
    low, high = low / math.exp(room), high * math.exp(room)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = math.ceil(len(decades) / 8)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [m * 10.0**e for e in decades[::every] for m in mantissas if low <= m * 10.0**e <= high]
        if len(ticks) >= 4:
            return Axis(low, high, ticks, log=True)
    return linear_axis(low, high)._replace(low=low, high=high, log=True)


def labels(ticks: Sequence[float]) -> list[str]:
    """The labels of ticks: all with the same number of decimals, or all short, such as 12.5k and 2e-4."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    evenly = ticks[-1] - ticks[0] <= (len(ticks) - 1) * step * 1.001
    largest = max(map(abs, ticks))
    if not evenly or largest >= 1e4 or (decimals > 3 and largest < 1e-2):
        return [short(tick) for tick in ticks]
    return [f"{tick:.{decimals}f}" for tick in ticks]


def short(value: float) -> str:
    """A short number: 12.5k for 12500, 3M for 3e6, 2e-4 for 0.0002."""
    size = abs(value)
    if 1e3 <= size < 1e9:
        return f"{value / 1e6:.6g}M" if size >= 1e6 else f"{value / 1e3:.6g}k"
    if size and not 1e-3 <= size < 1e3:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def is_number(value: object) -> bool:
    """Whether a value can be drawn."""
    return isinstance(value, SupportsFloat) and abs(float(value)) < LARGEST_VALUE


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if is_number(point[1])]


def _iterations(last: float) -> Axis:
    step = max(1, _round_step(last / 5)) if last else 1
    return Axis(0, last or 1, [i * step for i in range(math.floor((last or 1) / step) + 1)])


def _round_step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least))
    return next(round_ * decade for round_ in (1, 2, 5, 10) if round_ * decade >= least * (1 - 1e-9))


def _keys(curve: Curve, *, named: bool, low: float, high: float) -> Iterator[str]:
    """What the caption says of a curve: its name, and the value that it is compared with."""
    if named:
        yield f'<span class="key s{curve.colour}">{escape(curve.name)}</span>'
    if curve.level is not None and curve.buckets:
        where = (
            " (below the chart)" if curve.level < low else " (above the chart)" if curve.level > high else ""
        )
        yield f'<span class="key level-key s{curve.colour}">input {curve.level:.5g}{where}</span>'


def _svg(title: str, curves: Sequence[Curve], axes: Axes, resumes: Sequence[float]) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} over iterations">']
    for tick, text in zip(axes.y.ticks, labels(axes.y.ticks), strict=True):
        _, y = axes.place((0, tick))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{y}" dy=".35em">{text}</text>')
    for tick in axes.x.ticks:
        x, _ = axes.place((tick, axes.y.low))
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="x" x="{x}" y="{bottom + 20}">{short(tick)}</text>')
    for at in resumes:
        x, _ = axes.place((at, axes.y.low))
        about = f"<title>resumed at iteration {at:,.0f}</title>"
        parts.append(f'<line class="resume" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}">{about}</line>')
    parts += [_curve(curve, axes) for curve in curves]
    return "".join([*parts, '<circle class="cursor" r="4"/></svg>'])


def _curve(curve: Curve, axes: Axes) -> str:
    buckets = curve.buckets
    middle = [(bucket.at, bucket.mean) for bucket in buckets]
    # the texts beside the pointer: the page's script need not format numbers
    shown = {
        "name": curve.name,
        "at": " ".join(f"{bucket.at:.0f}" for bucket in buckets),
        "value": " ".join(f"{bucket.mean:.5g}" for bucket in buckets),
    }
    parts = []
    if curve.level is not None and axes.y.low <= curve.level <= axes.y.high:
        _, y = axes.place((0, curve.level))
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
    if any(bucket.low < bucket.high for bucket in buckets):
        shown["low"] = " ".join(f"{bucket.low:.3g}" for bucket in buckets)
        shown["high"] = " ".join(f"{bucket.high:.3g}" for bucket in buckets)
        there, back = [(b.at, b.high) for b in buckets], [(b.at, b.low) for b in reversed(buckets)]
        parts.append(f'<polygon class="band" points="{axes.path(there + back)}"/>')
    data = "".join(f' data-{key}="{escape(text)}"' for key, text in shown.items())
    parts.append(f'<polyline class="line" points="{axes.path(middle)}"{data}/>')
    circles = [("dot", 2.5, point) for point in middle if len(middle) <= DOTS]
    circles += [("mark", 5, curve.mark)] if curve.mark else []
    for kind, radius, point in circles:
        x, y = axes.place(point)
        parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"/>')
    return f'<g class="s{curve.colour}">{"".join(parts)}</g>'


def _missing(series: Sequence[Series]) -> str:
    """A note about the points that are not drawn."""
    places = [at for one in series for at, value in one.points if not is_number(value)]
    if not places:
        return ""
    count = f"{len(places):,} value{'s' if len(places) > 1 else ''}"
    return f'<p class="note">not finite and left out: {count}, last at iteration {max(places):,.0f}</p>'


def _unit(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
