import math
from statistics import fmean
from xml.etree import ElementTree

import pytest

from ir_plugins.reports.charts import (
    HEIGHT,
    LIMIT,
    WIDTH,
    Series,
    chart,
    decimate,
    labels,
    linear_axis,
    log_axis,
)

NAN, INF = math.nan, math.inf


def drawn(*series, title="psnr", last=100, **how):
    return ElementTree.fromstring(chart(title, [*series], last=last, **how))


def of_class(figure, name):
    return [element for element in figure.iter() if name in element.get("class", "").split()]


def places(element):
    return [tuple(float(number) for number in pair.split(",")) for pair in element.get("points").split()]


def test_points_lie_where_they_belong():
    figure = drawn(Series("Set5", [(0, 0.0), (50, 5.0), (100, 10.0)]))
    (line,) = of_class(figure, "line")
    # the axis reaches from -0.4 to 10.4, over the 398 x 228 units right of 60 and below 12
    assert places(line) == [(60, 231.6), (259, 126), (458, 20.4)]
    assert line.get("data-at") == "0 50 100" and line.get("data-value") == "0 5 10"


def test_ticks_stand_at_their_values():
    figure = drawn(Series("Set5", [(0, 0.0), (250_000, 10.0)]), last=250_000)
    across = {text.text: float(text.get("x")) for text in of_class(figure, "x")}
    assert across == {"0": 60, "50k": 139.6, "100k": 219.2, "150k": 298.8, "200k": 378.4, "250k": 458}
    up = {text.text: float(text.get("y")) for text in of_class(figure, "y")}
    assert up == {"0": 231.6, "2": 189.3, "4": 147.1, "6": 104.9, "8": 62.7, "10": 20.4}
    lines = {(line.get("x1"), line.get("y1")) for line in of_class(figure, "grid")}
    assert len(lines) == len(across) + len(up) and ("139.6", "12") in lines and ("60", "104.9") in lines


def test_a_decade_is_as_long_as_the_next_on_a_logarithmic_axis():
    figure = drawn(Series("l_pix", [(0, 1e-1), (50, 1e-2), (100, 1e-3)]), title="l_pix", log=True)
    heights = [y for _, y in places(*of_class(figure, "line"))]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)
    assert {"0.1", "0.03", "0.01", "0.003", "0.001"} == {text.text for text in of_class(figure, "y")}
    assert of_class(figure, "scale") and not of_class(figure, "key")


@pytest.mark.parametrize("least", [0, -0.1])
def test_values_that_have_no_logarithm_get_a_linear_axis(least):
    figure = drawn(Series("l_gan", [(0, 1.0), (50, 0.5 + least / 2), (100, least)]), log=True)
    heights = [y for _, y in places(*of_class(figure, "line"))]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)
    assert not of_class(figure, "scale")


def test_an_axis_from_zero_begins_there():
    assert linear_axis(3e-5, 2e-4, from_zero=True).low == 0
    assert linear_axis(-2.0, -1.0, from_zero=True).high == 0
    assert linear_axis(0.0, 0.0, from_zero=True).high > 0


def test_what_is_not_finite_is_left_out_and_told():
    odd = [(10, NAN), (20, INF), (30, -INF), (40, None), (1050, NAN)]
    figure = drawn(Series("Set5", [(0, 1.0), *odd, (100, 2.0)]), last=2000)
    (line,) = of_class(figure, "line")
    assert line.get("data-at") == "0 100" and len(places(line)) == 2
    assert of_class(figure, "note")[0].text == "not finite and left out: 5 values, last at iteration 1,050"
    assert "nan" not in ElementTree.tostring(figure, "unicode").lower()


def test_nothing_finite_gives_no_picture():
    figure = drawn(Series("Set5", [(10, NAN)]), Series("Set14", []))
    assert figure.find(".//svg") is None and of_class(figure, "empty")[0].text == "no finite values"


def test_long_curves_become_means_in_a_band():
    points = [(i, float(i % 7)) for i in range(100, 307_200, 100)]
    buckets = decimate(points)
    size = math.ceil(len(points) / LIMIT)
    assert LIMIT / 2 < len(buckets) <= LIMIT
    for index, bucket in enumerate(buckets):
        at, values = zip(*points[index * size : (index + 1) * size], strict=True)
        assert bucket == (fmean(at), fmean(values), min(values), max(values))
    figure = drawn(Series("l_pix", points), last=307_100)
    (line,), (band,) = of_class(figure, "line"), of_class(figure, "band")
    assert len(places(line)) == len(buckets) and len(places(band)) == 2 * len(buckets)
    there, back = places(band)[: len(buckets)], places(band)[len(buckets) :]
    assert [x for x, _ in there] == [x for x, _ in reversed(back)] == [x for x, _ in places(line)]
    assert places(band)[0] == pytest.approx((60.7, 20.4), abs=0.11)  # the largest value, 6, of the first ones
    assert len(line.get("data-low").split()) == len(line.get("data-high").split()) == len(buckets)


def test_short_curves_are_drawn_as_they_are():
    points = [(i, float(i % 7)) for i in range(LIMIT)]
    assert [(bucket.at, bucket.mean) for bucket in decimate(points)] == points
    assert not of_class(drawn(Series("Set5", points), last=LIMIT), "band")


def test_each_dataset_has_its_colour_and_its_ring():
    series = [Series(f"set{i}", [(0, i), (100, i + 0.5)], (100, i + 0.5)) for i in range(11)]
    figure = drawn(*series)
    assert [key.text for key in of_class(figure, "key")] == [one.name for one in series]
    colours = [group.get("class") for group in figure.iter("g")]
    assert colours[:3] == ["s0", "s1", "s2"] and colours[8:] == colours[:3]
    for group, one in zip(figure.iter("g"), series, strict=True):
        (line,), (mark,) = of_class(group, "line"), of_class(group, "mark")
        assert line.get("data-name") == one.name
        assert (float(mark.get("cx")), float(mark.get("cy"))) == places(line)[-1]
        assert len(of_class(group, "dot")) == 2


def test_a_curve_keeps_its_colour_while_another_has_nothing_to_draw():
    figure = drawn(Series("Set5", [(0, NAN)]), Series("Set14", [(0, 1.0)]))
    assert [group.get("class") for group in figure.iter("g")] == ["s1"]


def test_names_are_escaped():
    evil = "\"'><script>alert(1)</script>&"
    figure = drawn(Series(evil + "x", [(0, 1.0)]), title=evil)
    assert figure.find(".//script") is None
    assert of_class(figure, "title")[0].text == evil and of_class(figure, "key")[0].text == evil + "x"
    assert of_class(figure, "line")[0].get("data-name") == evil + "x"


EXTREMES = [
    [33.1],
    [0.0, 0.0],
    [1e-320, 2e-320],
    [1e-320, 1e99],
    [1e-99, 1e99],
    [-1e99, 1e99],
    [38.25, 38.2501],
    [12345678.0, 12345678.5],
    [1e9, 1e9 + 1e-6],
    [0.9999999, 1.0000001],
    [0.99998, 0.99999],
    [-5.0, -4.0],
]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", EXTREMES, ids=str)
def test_any_finite_values_can_be_drawn(values, log):
    figure = drawn(Series("Set5", list(enumerate(values))), last=len(values) - 1, log=log)
    for x, y in places(*of_class(figure, "line")):
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    told = [text.text for text in of_class(figure, "y")]
    assert 2 <= len(told) <= 12 and max(map(len, told)) <= 9
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("low, high", [(1.5, 10.5), (0.02, 0.11), (0.0712, 0.0716), (1e-7, 3.0)])
def test_a_logarithmic_axis_has_ticks_enough(low, high):
    axis = log_axis(low, high)
    assert axis.low < low and axis.high > high and 3 <= len(axis.ticks) <= 10
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


@pytest.mark.parametrize(
    "ticks, expected",
    [
        ([0, 5e-5, 1e-4, 1.5e-4], ["0", "5e-5", "1e-4", "1.5e-4"]),
        ([33.0, 33.5, 34.0], ["33.0", "33.5", "34.0"]),
        ([0.92, 0.94, 0.96], ["0.92", "0.94", "0.96"]),
        ([0, 2000, 4000], ["0", "2000", "4000"]),
        ([0, 12500, 25000], ["0", "12.5k", "25k"]),
        ([0, 500_000, 1_000_000, 1_500_000], ["0", "500k", "1M", "1.5M"]),
        ([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"]),
        ([38.2501, 38.2502], ["38.2501", "38.2502"]),
        ([1e-12, 1e12], ["1e-12", "1e12"]),
        ([-0.5, 0.0, 0.5], ["-0.5", "0.0", "0.5"]),
    ],
)
def test_labels_are_short_and_tell_ticks_apart(ticks, expected):
    assert labels(ticks) == expected


def test_a_level_to_compare_with_is_a_dashed_line_in_the_curve_s_colour():
    figure = drawn(Series("a", [(0, 1.0), (100, 2.0)], level=1.5), Series("b", [(0, 5.0), (100, 4.0)]))
    (level,) = of_class(figure, "level")
    line = of_class(figure, "line")[0]
    assert float(level.get("y1")) == pytest.approx(fmean(y for _, y in places(line)), abs=0.11)
    assert [group.get("class") for group in figure.iter("g") if level in group] == ["s0"]
    assert [key.text for key in of_class(figure, "level-key")] == ["input 1.5"]


@pytest.mark.parametrize("level, where", [(-90.0, "below"), (90.0, "above"), (math.inf, None), (None, None)])
def test_a_level_far_away_does_not_squeeze_the_curve(level, where):
    plain, figure = (drawn(Series("a", [(0, 1.0), (100, 2.0)], level=value)) for value in (None, level))
    assert places(*of_class(figure, "line")) == places(*of_class(plain, "line"))
    assert not of_class(figure, "level")
    told = [key.text for key in of_class(figure, "level-key")]
    assert told == ([f"input {level:g} ({where} the chart)"] if where else [])


def test_resumes_are_vertical_lines():
    figure = drawn(Series("a", [(0, 1.0), (100, 2.0)]), resumes=[50])
    (line,) = of_class(figure, "resume")
    assert line.get("x1") == line.get("x2") == "259" and line[0].text == "resumed at iteration 50"
