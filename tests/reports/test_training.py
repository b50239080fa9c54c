import base64
import logging
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from tiny import tiny_options

from ir_plugins.models.results import PictureResult, SetResult
from ir_plugins.models.samples import Sample
from ir_plugins.options.reading import complete
from ir_plugins.reports import figures as report_figures
from ir_plugins.reports import training
from ir_plugins.reports.figures import KINDS, encode, fit
from ir_plugins.reports.single_pictures import Shown, sections
from ir_plugins.reports.training import Progress, write_report

from basicsr.utils import get_root_logger

VOID = {"meta", "input", "img", "br"}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&{{ name }}{% raw %}{#"
EMPTY = {"losses": [], "metrics": []}


class Page(HTMLParser):
    """The elements of a page, as (tag, attributes), and the text in each; refuses what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, attributes))
        self.texts.append("")
        if tag not in VOID:
            self.open.append((tag, len(self.texts) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, index in self.open:
            self.texts[index] += data

    def all(self, tag, **wanted):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]

    def text(self, tag):
        return [text for (name, _), text in zip(self.elements, self.texts, strict=True) if name == tag]


def options(**changes):
    return complete(tiny_options() | changes, is_train=True)


def photograph(h, w, channels=3, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (h, w, channels), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3).reshape(h, w, channels)


def sample(h=30, w=46, channels=3, scale=2, name="bird", gt=True):
    lq, result = photograph(h, w, channels), photograph(h * scale, w * scale, channels, seed=1)
    return Sample("Set5", name, lq, result, photograph(h * scale, w * scale, channels, 2) if gt else None)


def shown(samples, pictures=None, at=1000, **blocks):
    """The sections of one validation."""
    return sections([Shown(at, SetResult("Set5", {}, pictures, samples))], blocks)


def page(opt, history, samples, versions, progress=Progress(0)):  # noqa: B008  (immutable)
    return training.page(opt, history, shown(samples), versions, progress)


def history(last=4000, every=100):
    losses = [{"iter": i, "lr": 2e-4, "l_pix": 1 / i, "l_fft": 2 / i} for i in range(every, last + 1, every)]
    metrics = [
        {"iter": i, "dataset": name, "psnr": 30 + i / last, "ssim": 0.9}
        for i in range(1000, last + 1, 1000)
        for name in ("Set5", "Set14")
    ]
    return {"losses": losses, "metrics": metrics}


def pictures(text):
    """kind -> the pixels of the first sample, as OpenCV reads them."""
    found = {}
    for image in Page(text).all("img"):
        head, _, data = image["src"].partition(",")
        assert head in ("data:image/png;base64", "data:image/jpeg;base64")
        file = np.frombuffer(base64.b64decode(data), np.uint8)
        found.setdefault(image["data-kind"], cv2.imdecode(file, cv2.IMREAD_UNCHANGED))
    return found


def test_the_page_is_whole_and_needs_nothing_from_outside():
    text = page(options(), history(), [sample(), sample(gt=False)], {"torch": "2.13.0"})
    built = Page(text)
    assert len(built.all("figure")) == 2 + 3 + 2  # metrics; losses and learning rate; samples
    assert len(built.all("span", **{"class": "scale"})) == 2  # of the two losses
    assert len(built.all("script")) == len(built.all("style")) == len(built.all("pre")) == 1
    outside = r"https?:|//\w|url\(|@import|\bsrc=|<link|<base|<iframe|fetch\("
    assert not re.search(outside, re.sub(r'src="data:image/(png|jpeg);base64,[\w+/=]+"', "", text))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert built.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] == policy
    assert built.all("meta", charset="utf-8") and built.all("meta", name="viewport")


@pytest.mark.parametrize("empty", [EMPTY, {}, {"losses": None, "metrics": None}])
def test_the_first_page_of_a_run_says_that_there_is_nothing_yet(empty):
    opt = options()
    del opt["val"]
    text = page(opt, empty, [], {})
    assert len(re.findall("yet[.]", text)) == 3 and "iteration 0 of 4 (0 %)" in text
    assert not Page(text).all("figure")


def test_measurements_without_a_log_line_yet_give_a_chart():
    text = page(options(), {"losses": [], "metrics": [{"iter": 2, "dataset": "Set5", "psnr": 30.5}]}, [], {})
    assert "iteration 2 of 4 (50.0 %)" in text
    assert [line["data-value"] for line in Page(text).all("polyline")] == ["30.5"]


def test_progress_ends_at_100_percent():
    text = page(options(), {"losses": [{"iter": 1_234_567, "lr": 1.0}]}, [], {})
    assert "iteration 1,234,567 of 4 (100 %)" in text and 'style="width:100.0%"' in text


def test_best_figures_go_the_way_that_each_metric_is_better():
    measured = [
        {"iter": 1000, "dataset": "Set5", "psnr": 31.0, "niqe": 4.0},
        {"iter": 2000, "dataset": "Set5", "psnr": 33.25, "niqe": 3.0},
        {"iter": 3000, "dataset": "Set5", "psnr": math.nan, "niqe": 5.0},
        {"iter": 1000, "dataset": "<Set14>", "psnr": math.inf},
    ]
    metrics = {"psnr": {"type": "calculate_psnr"}, "niqe": {"type": "calculate_niqe", "better": "lower"}}
    text = page(options(val={"metrics": metrics}), {"losses": [], "metrics": measured}, [], {})
    built = Page(text)
    assert built.text("tr")[1:4] == [
        "Set5psnr ↑33.2500 at 2,000nan at 3,000",
        "niqe ↓3.0000 at 2,0005.0000 at 3,000",
        "<Set14>psnr ↑noneinf at 1,000",
    ]
    rings = built.all("circle", **{"class": "mark"})
    places = [line["points"].split()[1] for line in built.all("polyline")]
    assert [f"{ring['cx']},{ring['cy']}" for ring in rings] == places


def test_the_input_stands_beside_curves_and_figures():
    measured = [{"iter": i, "dataset": d, "psnr": 30.0 + i} for i in (1, 2) for d in ("Set5", "blind")]
    inputs = {"Set5": {"psnr": {"of": "", "times": 2, "values": [30.0, None, 31.0]}}}
    opt = options(val={"metrics": {"psnr": {"type": "calculate_psnr"}}})
    built = Page(page(opt, {"losses": [], "metrics": measured, "inputs": inputs}, [], {}))
    assert built.text("tr")[:3] == [
        "DatasetMetricInputBestLatest",
        "Set5psnr ↑30.5000 bicubic x232.0000 at 232.0000 at 2",
        "blindpsnr ↑32.0000 at 232.0000 at 2",
    ]
    assert len(built.all("line", **{"class": "level"})) == 1
    for odd in ([], {"Set5": None}, {"Set5": {"psnr": {"values": ["a"], "times": 2}}}):
        assert "Input" not in page(opt, {"losses": [], "metrics": measured, "inputs": odd}, [], {})


def test_every_picture_has_a_line_that_can_be_sorted_and_read_without_a_script(monkeypatch):
    pictures = [
        PictureResult(
            "Set5", "", EVIL, 8, 8, {"psnr": 30.0, "niqe": 5.0}, baseline={"psnr": 28.5}, enlarged=2
        ),
        PictureResult("Set5", "", "bird", 8, 8, {"psnr": math.inf}, baseline={}),
        PictureResult("Set5", "", "head", 8, 8, {}),
    ]
    monkeypatch.setattr("ir_plugins.reports.single_pictures.ROWS", 2)
    text = shown(
        [], pictures, 1234, psnr={"type": "a"}, niqe={"type": "b", "better": "lower"}, none={"type": "c"}
    )
    built = Page(str(text))
    assert built.all("table", **{"class": "sortable"}) and not built.all("script")
    assert built.text("tr") == [
        "psnr ↑niqe ↓",
        "Pictureresultinputchangeresultinputchange",
        f"{EVIL}30.000028.5000+1.50005.0000",
        "birdinf",
    ]
    assert "at iteration 1,234 · beside the input, bicubic x2" in text
    assert "The first 2 pictures; 1 more are not listed." in text


def test_speed_time_and_resumes_are_told():
    progress = Progress(21, 7980.0, 0.25, 93_600.0, [4, 9])
    text = page(options(), {"losses": [{"iter": 20, "lr": 1.0}]}, [], {}, progress)
    assert "iteration 21 of 4" in text
    assert (
        Page(text).text("p")[1]
        == "2 h 13 min in all4 iterations/sabout 1 d 2 h leftresumed at iteration 4, 9"
    )
    assert text.count('class="resume"') == 2 and "marks where the run was resumed" in text
    assert "2 s per iteration" in page(options(), {}, [], {}, Progress(1, 5.0, 2.0))
    assert "5 s so far</span><span>5 s per iteration on average<" in page(
        options(), {}, [], {}, Progress(1, 5.0)
    )


def test_a_resumed_run_repeats_iterations_and_the_later_one_counts():
    losses = [
        {"iter": i, "lr": 1.0, "l_pix": v} for i, v in ((1, 5.0), (3, 6.0), (4, 7.0), (2, 8.0), (3, 9.0))
    ]
    measured = [{"iter": 2, "dataset": "Set5", "psnr": v} for v in (40.0, 30.0)]
    text = page(options(), {"losses": losses, "metrics": measured}, [], {})
    (line,) = Page(text).all("polyline", **{"data-name": "l_pix"})
    assert (line["data-at"], line["data-value"]) == ("1 2 3 4", "5 8 9 7")
    assert "40.0000" not in text


def test_a_loss_that_joins_later_is_drawn_from_there():
    losses = [{"iter": 1, "lr": 1.0, "l_pix": 1.0}, {"iter": 2, "lr": 1.0, "l_pix": 1.0, "l_gan": -1.0}]
    (line,) = Page(page(options(), {"losses": losses}, [], {})).all("polyline", **{"data-name": "l_gan"})
    assert line["data-at"] == "2"


def test_whatever_comes_from_outside_is_escaped():
    evil = {
        "losses": [{"iter": 1, "lr": 1.0, EVIL: 1.0}],
        "metrics": [{"iter": 1, "dataset": EVIL, EVIL + "m": 1.0, "psnr": EVIL}],
    }
    one = sample(name=EVIL)._replace(dataset=EVIL)
    built = Page(page(options(name=EVIL), evil, [one], {EVIL: EVIL}))
    clean = Page(page(options(), history(), [sample()], {"torch": "2.13.0"}))
    assert len(built.all("script")) == 1 and len(built.all("img")) == 3
    assert not [name for _, attributes in built.elements for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in built.elements} == {tag for tag, _ in clean.elements}
    assert built.text("h1") == built.text("title") == [EVIL]
    assert yaml.safe_load(built.text("pre")[0])["name"] == EVIL
    assert built.all("img")[0]["alt"] == f"LQ of {EVIL}"


def test_all_options_are_reported_as_yaml():
    opt = options()
    opt["train"]["optim_g"] |= {"betas": (0.9, 0.99), "foreach": None, "lr": math.nan}
    opt["again"] = opt["train"]["optim_g"]
    opt["path"]["somewhere"] = Path("a/b")
    text = Page(page(opt, EMPTY, [], {})).text("pre")[0]
    told = yaml.safe_load(text)
    assert list(told) == list(opt) and told["network_g"] == opt["network_g"] and "&id" not in text
    assert told["path"]["somewhere"] == "a/b" and told["again"]["betas"] == [0.9, 0.99]


def test_versions_are_reported():
    assert Page(page(options(), EMPTY, [], {"torch": "2.13.0", "basicsr": "1.4.2"})).text("tr") == [
        "torch2.13.0",
        "basicsr1.4.2",
    ]


def test_pictures_are_embedded_as_they_are():
    one = sample()
    found = pictures(page(options(), EMPTY, [one], {}))
    for kind in KINDS:
        true = getattr(one, kind)[..., ::-1].astype(int)  # OpenCV reads BGR
        assert np.abs(found[kind] - true).mean() < 3, kind
    flat = one._replace(result=np.full((60, 92, 3), (250, 3, 77), np.uint8))
    assert (pictures(page(options(), EMPTY, [flat], {}))["result"] == (77, 3, 250)).all()  # a PNG, exact


def test_pictures_are_encoded_as_whichever_is_smaller():
    assert encode(np.zeros((64, 64, 3), np.uint8))[0] == "png"
    assert encode(photograph(64, 64))[0] == "jpeg"


def test_gray_pictures_stay_gray():
    one = sample(channels=1)
    found = pictures(page(options(), EMPTY, [one], {}))
    assert {kind: picture.shape for kind, picture in found.items()} == {
        "lq": (30, 46),
        "result": (60, 92),
        "gt": (60, 92),
    }
    assert np.abs(found["gt"] - one.gt[..., 0].astype(int)).mean() < 3


def test_pairs_to_choose_from():
    built = Page(page(options(), EMPTY, [sample()], {}))
    pairs = [(button["data-left"], button["data-right"]) for button in built.all("button")]
    assert pairs == [("lq", "result"), ("result", "gt"), ("lq", "gt")]
    assert [button["aria-pressed"] for button in built.all("button")] == ["true", "false", "false"]
    assert built.text("button") == ["LQ | Result", "Result | GT", "LQ | GT"]
    assert [(image["data-kind"], image["data-side"]) for image in built.all("img")] == [
        ("lq", "left"),
        ("result", "right"),
        ("gt", "none"),
    ]
    (wipe,) = built.all("input")
    assert wipe["type"] == "range" and wipe["aria-label"].startswith("bird")


def test_without_ground_truth_there_is_one_pair():
    built = Page(page(options(), EMPTY, [sample(gt=False)], {}))
    assert [image["data-kind"] for image in built.all("img")] == ["lq", "result"]
    assert built.text("button") == ["LQ | Result"]


def test_captions_tell_sizes():
    text = page(options(), EMPTY, [sample(), sample(scale=1)], {})
    captions = Page(text).text("figcaption")
    assert captions == [
        "birdSet5 · 92 × 60 pixels · LQ enlarged ×2 · iteration 1,000",  # noqa: RUF001
        "birdSet5 · 46 × 30 pixels · iteration 1,000",  # noqa: RUF001
    ]
    assert text.count('style="--w:92;--h:60"') == text.count('style="--w:46;--h:30"') == 1


@pytest.mark.parametrize("scale, h, w", [(1, 53, 71), (2, 53, 71), (3, 97, 11), (4, 23, 91)])
@pytest.mark.parametrize("gt", [True, False])
def test_large_pictures_are_cut_alike_around_the_centre(scale, h, w, gt):
    lq = np.arange(h * w * 3, dtype=np.uint32).reshape(h, w, 3)
    large = lq.repeat(scale, 0).repeat(scale, 1)
    cut, note = fit(Sample("Set5", "bird", lq, large, large if gt else None), 1500)
    rows, columns = cut["lq"].shape[:2]
    assert 900 < cut["result"].shape[0] * cut["result"].shape[1] <= 1500
    assert list(cut) == [*KINDS][: 3 if gt else 2]
    for kind in [*KINDS][1 : 3 if gt else 2]:
        assert (cut[kind] == cut["lq"].repeat(scale, 0).repeat(scale, 1)).all()
    top, left = (h - rows) // 2, (w - columns) // 2
    assert (cut["lq"] == lq[top : top + rows, left : left + columns]).all()
    assert note == f"centre crop, {columns * scale} × {rows * scale} of {w * scale} × {h * scale} pixels"  # noqa: RUF001


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_that_do_not_fit_each_other_are_scaled(channels):
    one = Sample("Set5", "bird", *(photograph(h, 100, channels) for h in (50, 99, 103)))
    scaled, note = fit(one, 2475)
    shapes = [picture.shape for picture in scaled.values()]
    assert shapes == [(25, 50, channels), (50, 50, channels), (52, 50, channels)]
    assert note == "scaled to 50 × 50 from 100 × 99 pixels"  # noqa: RUF001


def test_pictures_up_to_the_limit_are_left_alone():
    one = sample()
    kept, note = fit(one, 60 * 92)
    assert all(kept[kind] is getattr(one, kind) for kind in KINDS) and note == ""


@pytest.mark.parametrize("count", [1, 7])
def test_a_page_full_of_noise_stays_small(count, monkeypatch):
    monkeypatch.setattr(report_figures, "BUDGET", 300_000)
    noise = [np.random.default_rng(i).integers(0, 256, (600, 800, 3), dtype=np.uint8) for i in range(3)]
    text = page(options(), EMPTY, [Sample("Set5", "noise", *noise)] * count, {})
    assert 200_000 < len(text) < 300_000 * 4 / 3 + 40_000
    assert len(Page(text).all("img")) == 3 * count and text.count("centre crop") == count


def test_a_picture_of_a_million_pixels_is_the_largest():
    flat = np.zeros((1500, 2000, 3), np.uint8)
    found = pictures(page(options(), EMPTY, [Sample("Set5", "flat", flat, flat, flat)], {}))
    assert all(900_000 < picture.shape[0] * picture.shape[1] <= 1_000_000 for picture in found.values())


def test_a_long_history_stays_small():
    text = page(options(), history(last=500_000), [], {})
    assert len(text) < 200_000
    assert 150 < len(Page(text).all("polyline", **{"data-name": "l_pix"})[0]["points"].split()) <= 600


def test_the_file_is_replaced_at_once(tmp_path, monkeypatch):
    file, replace, seen = tmp_path / "report.html", os.replace, []
    file.write_text("older")

    def look(part, target):
        seen.append((file.read_text(), Page(Path(part).read_text(encoding="utf-8")).text("h1")))
        replace(part, target)

    monkeypatch.setattr("os.replace", look)
    assert write_report(file, lambda: page(options(), history(), [sample()], {}))
    assert seen == [("older", ["tiny"])]
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert file.read_text(encoding="utf-8").endswith("</html>\n")


@pytest.fixture
def warnings(fresh_logger, monkeypatch, caplog):
    monkeypatch.setattr(get_root_logger(), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_reported_and_ends_no_run(tmp_path, warnings):
    file = tmp_path / "report.html"
    file.write_text("older")
    (tmp_path / f".report.html.{os.getpid()}.part").symlink_to("/dev/full")
    assert not write_report(file, lambda: page(options(), EMPTY, [], {}))
    assert warnings.messages == [f"{file}: the report cannot be written: No space left on device"]
    assert file.read_text() == "older" and [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_made_is_reported_and_ends_no_run(tmp_path, warnings):
    (tmp_path / "gone").write_text("a file")
    write_report(tmp_path / "gone/report.html", lambda: page(options(), EMPTY, [], {}))
    expected = f"{tmp_path}/gone/report.html: the report cannot be written: File exists"
    assert warnings.messages == [expected]


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    found = [sample(name="caf\udce9.png")]
    write_report(tmp_path / "report.html", lambda: page(options(), EMPTY, found, {}))
    assert "caf?.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_templates_are_installed_with_the_package(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "build")]
    subprocess.run([*command, "build_py", "-d", str(tmp_path / "lib")], cwd=root, check=True)
    templates = [file.relative_to(root) for file in (root / "ir_plugins/reports").glob("*.html")]
    assert len(templates) == 2
    for file in templates:
        assert (tmp_path / "lib" / file).read_bytes() == (root / file).read_bytes()
