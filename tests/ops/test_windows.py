import pytest
import torch

from ir_plugins.ops.windows import merge, partition, regions, window_grid

SIZES = [(1, 1), (3, 5), (7, 7), (8, 16), (13, 29), (1, 17)]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_merge_undoes_partition(size, shifted):
    x = torch.rand(2, 3, *size)
    grid = window_grid(size, 7, shifted)
    windows = partition(x, grid)
    assert windows.shape[2] == grid.window[0] * grid.window[1]
    assert torch.equal(merge(windows, grid), x)


def test_a_window_is_a_block_of_the_picture():
    x = torch.arange(6 * 10).float().view(1, 1, 6, 10)
    windows = partition(x, window_grid((6, 10), 5))  # padded to 10 x 10: 2 x 2 windows
    assert torch.equal(windows[0, 0, :, 0].view(5, 5), x[0, 0, :5, :5])
    assert torch.equal(windows[0, 3, :, 0].view(5, 5)[:1], x[0, 0, 5:, 5:])
    assert windows[0, 3, 5:].abs().sum() == 0


def test_a_shifted_window_starts_half_a_window_later():
    x = torch.arange(12 * 12).float().view(1, 1, 12, 12)
    windows = partition(x, window_grid((12, 12), 6, shifted=True))
    assert torch.equal(windows[0, 0, :, 0].view(6, 6), x[0, 0, 3:9, 3:9])


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_regions_part_what_is_not_adjacent(size, shifted):
    """Two tokens of a window share a label just if they come from the picture and lie less than a window
    apart.
    """
    grid = window_grid(size, 7, shifted)
    position = (
        torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij")).float() + 1
    )  # 0 is padding
    places = partition(position[None], grid)[0]  # (M, N, 2)
    labels = regions(grid, places.device)
    if labels is None:
        labels = torch.zeros(places.shape[:2])
    real = (places > 0).all(-1)
    together = (places[:, :, None] - places[:, None]).abs().amax(-1) < 7
    expected = together & real[:, :, None] & real[:, None]
    same = labels[:, :, None] == labels[:, None]
    both_real = real[:, :, None] & real[:, None]
    assert torch.equal(same & both_real, expected)
    assert not (same & (real[:, :, None] ^ real[:, None])).any()


def test_one_window_is_neither_padded_nor_shifted():
    grid = window_grid((5, 7), 8, shifted=True)
    assert grid.window == (5, 7) and grid.is_whole and regions(grid, torch.device("cpu")) is None
