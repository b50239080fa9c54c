import itertools
import math

import pytest
import torch

from ir_plugins.ops.position import log_offsets, relative_index, spread_offsets


@pytest.mark.parametrize("window", [(1, 1), (2, 3), (5, 3)])
def test_spread_reads_the_offset_of_query_and_key(window):
    h, w = window
    table = torch.rand(2 * h - 1, 2 * w - 1, 2)
    bias = spread_offsets(table)
    for query in range(h * w):
        for key in range(h * w):
            rows, columns = query // w - key // w, query % w - key % w
            assert torch.equal(bias[:, query, key], table[rows + h - 1, columns + w - 1])


def test_log_offsets_follow_swin_v2():
    offsets = log_offsets((3, 5), window_size=5)
    assert offsets.shape == (5, 9, 2)
    assert offsets[2, 4].tolist() == [0, 0]
    one_row_down = math.log2(1 * 8 / 4 + 1) / math.log2(8)
    assert offsets[3, 4, 0].item() == pytest.approx(one_row_down)
    assert offsets[2, 0, 1].item() == pytest.approx(-math.log2(9) / math.log2(8))


def test_a_window_of_one_pixel_has_no_distance():
    assert log_offsets((1, 1), window_size=1).tolist() == [[[0, 0]]]


@pytest.mark.parametrize("window_size", [1, 2, 3, 5])
def test_relative_index_finds_the_offset_in_a_list_of_all(window_size):
    reach, pixels = range(1 - window_size, window_size), range(window_size)
    rows = {offset: row for row, offset in enumerate(itertools.product(reach, reach))}
    tokens = list(itertools.product(pixels, pixels))
    expected = [[rows[a - c, b - d] for c, d in tokens] for a, b in tokens]
    index = relative_index(window_size)
    assert index.tolist() == expected and index.dtype == torch.int64


def test_both_kinds_of_table_agree():
    table = torch.rand(9, 9, 2)
    expected = table.flatten(0, 1)[relative_index(5)].permute(2, 0, 1)
    assert torch.equal(spread_offsets(table), expected)
