"""`make bench` prints no ratio where results differ."""

from pathlib import Path

import bench
import bench_data
import cv2
import numpy as np
import pytest
import torch


def ways(offset):
    return (lambda: [torch.ones(3)]), [((lambda: [torch.ones(3) + offset]), 1e-4)]


@pytest.mark.parametrize("offset, is_told", [(0, True), (1e-6, True), (1e-3, False), (float("nan"), False)])
def test_a_row_is_reported_only_where_results_agree(offset, is_told):
    plain, fast = ways(offset)
    (row,) = bench.compare("title", plain, fast, torch.device("cpu"))
    assert (row is not None) == is_told


def test_a_row_that_differs_ends_in_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(bench, "attention_rows", lambda device: [("good", "2x"), ("bad", None)])
    monkeypatch.setattr(bench, "net_rows", lambda device: [])
    monkeypatch.setattr(bench, "memory_rows", lambda device: [])
    assert bench.main() == 1
    out = capsys.readouterr().out
    assert "results differ: no figures" in out and "2x" in out


def two_pictures():
    for side, length in (("gt", 262), ("lq", 131)):
        Path(side).mkdir()
        for seed in range(2):
            pixels = np.random.default_rng(seed).integers(0, 256, (length, length, 3), dtype=np.uint8)
            cv2.imwrite(f"{side}/{seed}.png", pixels)
    return 2


@pytest.mark.parametrize("sabotaged", [False, True])
def test_readers_of_pairs_are_compared_only_where_they_read_the_same(
    sabotaged, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench_data, "write_pictures", two_pictures)
    monkeypatch.setattr(bench_data, "RUNS", 1)
    monkeypatch.setattr(bench_data, "SECONDS", 0.02)
    if sabotaged:
        monkeypatch.setattr("ir_plugins.data.datasets.base.augmented", lambda picture, *_, **__: picture)
    assert bench_data.main() == sabotaged
    assert ("x as fast, for " in capsys.readouterr().out) != sabotaged
