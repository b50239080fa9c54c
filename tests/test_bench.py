"""`make bench` prints no ratio where results differ."""

import bench
import pytest
import torch


def ways(offset):
    return (lambda: [torch.ones(3)]), [((lambda: [torch.ones(3) + offset]), 1e-4)]


@pytest.mark.parametrize("offset, is_told", [(0, True), (1e-6, True), (1e-3, False), (float("nan"), False)])
def test_a_row_is_told_only_where_results_agree(offset, is_told):
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
