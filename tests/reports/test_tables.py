"""metrics.csv and metrics.md, from rows that are known."""

import csv
import io
import math
import os
import re
from pathlib import Path

import pytest

from ir_plugins.models.results import PictureResult
from ir_plugins.reports.tables import as_csv, as_markdown, remarks, summary, write_tables

METRICS = {"psnr": {"type": "calculate_psnr", "crop_border": 3}, "ssim": {"type": "calculate_ssim"}}
HOW = {"weights": "a/b.pth", "device": "abacus"}
ROWS = [
    PictureResult("DPDD", "indoor", "indoor/1", 5, 7, {"psnr": 20.0, "ssim": 0.5}, 9.0, 3_000_000),
    PictureResult("DPDD", "indoor", "indoor/2", 5, 11, {"psnr": 23.0, "ssim": 0.75}, 0.25, 7_250_000),
    PictureResult("DPDD", "outdoor", "outdoor/1", 13, 7, {"psnr": 1 / 3, "ssim": 1.0}, 0.5, 1_000_000),
    PictureResult("Set5", "", "bird, small", 17, 7, {"psnr": math.inf, "ssim": math.nan}, None, None),
    PictureResult("Set5", "", "baby", 17, 19, {"psnr": 31.0}, 0.125, None, "val:metrics:ssim: too small"),
    PictureResult("real", "", "lq|only", 17, 19, {}, 2.0, 4_000_000),
]


def lines(text):
    """The cells of a Markdown table."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


def stripped(text):
    return [[cell.strip() for cell in line] for line in lines(text)]


def test_a_line_for_each_picture_with_all_digits():
    found = list(csv.reader(io.StringIO(as_csv(ROWS, METRICS))))
    head = ["dataset", "group", "image", "height", "width", "psnr", "ssim", "seconds", "peak_mb"]
    assert found[0] == head and len(found) == 7
    assert found[1] == ["DPDD", "indoor", "indoor/1", "5", "7", "20.0", "0.5", "9.000000", "3.000"]
    assert float(found[3][5]) == 1 / 3
    assert found[4] == ["Set5", "", "bird, small", "17", "7", "inf", "nan", "", ""]
    assert found[5][6] == "" and found[6][5:7] == ["", ""]
    assert as_csv(ROWS, {}).startswith("dataset,group,image,height,width,seconds,peak_mb\n")


def test_a_line_for_each_dataset_below_those_of_its_groups():
    assert stripped(summary(ROWS, METRICS))[0] == ["dataset", "images", "psnr", "ssim", "median s", "peak MB"]
    assert stripped(summary(ROWS, METRICS))[2:] == [
        ["DPDD / indoor", "2", "21.5000", "0.6250", "4.62", "7.2"],
        ["DPDD / outdoor", "1", "0.3333", "1.0000", "0.5", "1.0"],
        ["DPDD", "3", "14.4444", "0.7500", "0.5", "7.2"],  # of the pictures, not of the groups
        ["Set5", "2", "31.0000", "nan", "0.125", ""],
        ["real", "1", "", "", "2", "4.0"],
    ]


def test_the_inputs_stand_beside_their_results():
    of_inputs = [{"psnr": 18.0, "ssim": 0.25}, {"psnr": 19.0, "ssim": 0.75}, None, {}, {"psnr": 24.5}, {}]
    rows = [row._replace(baseline=b, enlarged=4) for row, b in zip(ROWS, of_inputs, strict=True)]
    found = list(csv.DictReader(io.StringIO(as_csv(rows, METRICS))))
    assert [row["input_psnr"] for row in found] == ["18.0", "19.0", "", "", "24.5", ""]
    assert [row["input_enlarged"] for row in found] == ["4", "4", "", "", "4", ""]
    table = stripped(summary(rows, METRICS))
    assert [line[0] for line in table[2:]] == [
        "DPDD / indoor",
        "DPDD / indoor: input, bicubic x4",
        "DPDD / outdoor",
        "DPDD",
        "DPDD: input, bicubic x4",
        "Set5",
        "Set5: input, bicubic x4",
        "real",
    ]
    assert table[3][1:] == ["2", "18.5000", "0.5000", "", ""] and table[8][1:] == ["1", "24.5000", "", "", ""]
    assert "- input: rows named so" in as_markdown("tiny", rows, METRICS, HOW)
    assert "- input:" not in as_markdown("tiny", ROWS, METRICS, HOW)


def test_the_table_is_markdown_that_also_reads_in_a_terminal():
    text = summary([row._replace(dataset="a|b\nc") for row in ROWS[5:]], METRICS)
    assert stripped(text)[2][0] == "a\\|b c"
    rows = summary(ROWS, METRICS).splitlines()
    assert len({len(line) for line in rows}) == 1
    assert re.fullmatch(r"\| -{3,} (\| -{2,}: )+\|", rows[1])


def test_what_the_means_leave_out_is_reported():
    assert list(remarks(ROWS, METRICS)) == [
        "Set5: psnr is infinite on 1 of 2 pictures, the first of them bird, small; left out of the mean",
        "Set5: ssim is not a number on 1 of 1 pictures, the first of them bird, small",
        "Set5: picture baby: val:metrics:ssim: too small",
    ]
    assert list(remarks(ROWS[:3], METRICS)) == []


def test_the_page_shows_how_it_was_measured():
    text = as_markdown("My_Test", ROWS, METRICS, HOW)
    assert text.startswith("# My_Test\n\n| dataset")
    assert summary(ROWS, METRICS) in text
    for line in (
        "- weights: a/b.pth",
        "- device: abacus",
        "- psnr: {type: calculate_psnr, crop_border: 3}",
        "- ssim: {type: calculate_ssim}",
        "- Set5: picture baby: val:metrics:ssim: too small",
    ):
        assert line in text.splitlines()
    assert "in the first picture (DPDD, indoor/1: 9 s)" in text
    assert re.search(r"^- date: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}$", text, re.MULTILINE)
    assert "left out" not in as_markdown("My_Test", ROWS[:3], METRICS, HOW)


def test_both_files_are_replaced_at_once(tmp_path, monkeypatch):
    write_tables(tmp_path / "deep", "run", ROWS[:2], METRICS, HOW)
    folder, replace, seen = tmp_path / "deep", os.replace, []
    older = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(older) == {"metrics.csv", "metrics.md"}

    def look(part, target):
        seen.append((Path(target).name, Path(target).read_text() == older[Path(target).name]))
        replace(part, target)

    monkeypatch.setattr("os.replace", look)
    write_tables(folder, "run", [ROWS[0]._replace(image="caf\udce9")], METRICS, HOW)
    assert seen == [("metrics.csv", True), ("metrics.md", True)]
    assert "caf?" in (folder / "metrics.csv").read_text() and len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("rows", [[], ROWS[5:]])
def test_without_figures_there_are_tables_all_the_same(rows):
    assert len(lines(summary(rows, {}))) == 2 + len(rows)
    assert as_csv(rows, {}).count("\n") == 1 + len(rows)
    assert as_markdown("run", rows, {}, {}).startswith("# run\n")
