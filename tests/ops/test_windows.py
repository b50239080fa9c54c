import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from ir_plugins.ops import windows as ops
from ir_plugins.ops.windows import attention_mask, fixed_grid, merge, partition, regions, window_grid

SIZES = [(1, 1), (3, 5), (7, 7), (8, 16), (13, 29), (1, 17)]


@pytest.mark.parametrize("any_size", [False, True])
@pytest.mark.parametrize("cut", [window_grid, fixed_grid])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_merge_undoes_partition(size, shifted, cut, any_size):
    x = torch.rand(2, 3, *size)
    grid = cut(size, 7, shifted, any_size=any_size)
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


def test_a_fixed_grid_never_shrinks_its_windows():
    assert fixed_grid((3, 17), 7) == ((3, 17), (7, 7), (0, 0), False)
    assert fixed_grid((3, 17), 7, shifted=True) == ((3, 17), (7, 7), (3, 3), False)
    assert fixed_grid((3, 17), 7).padded == (7, 21)
    assert fixed_grid((7, 21), 7).is_whole
    assert not fixed_grid((7, 20), 7).is_whole and not fixed_grid((7, 21), 7, shifted=True).is_whole


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("cut", [window_grid, fixed_grid])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_tokens_share_a_label_just_if_they_share_a_cell(size, shifted, cut, mask_padding):
    """Cells are what a shifted ruler of 7 pixels marks on the padded picture, where nothing wraps."""
    grid = cut(size, 7, shifted)
    axes = [torch.arange(length) for length in grid.padded]
    row, column = torch.meshgrid(*axes, indexing="ij")
    facts = [
        (row - grid.shift[0]).div(grid.window[0], rounding_mode="floor"),
        (column - grid.shift[1]).div(grid.window[1], rounding_mode="floor"),
    ]
    if mask_padding:
        facts += [row >= size[0], column >= size[1]]
    tokens = partition(torch.stack(facts)[None], grid._replace(size=grid.padded))[0]  # (M, N, facts)
    labels = regions(grid, torch.device("cpu"), mask_padding)
    if labels is None:
        labels = torch.zeros(tokens.shape[:2])
    expected = (tokens[:, :, None] == tokens[:, None]).all(-1)
    assert torch.equal(labels[:, :, None] == labels[:, None], expected)


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_mask_hides_other_labels(shifted, mask_padding):
    grid = fixed_grid((5, 17), 7, shifted)
    mask = attention_mask(grid, torch.empty(0), mask_padding)
    labels = regions(grid, torch.device("cpu"), mask_padding)
    assert mask.shape == (3, 1, 49, 49) and mask.dtype == torch.float32
    for window, query, key in torch.cartesian_prod(*map(torch.arange, (3, 49, 49)))[::11].tolist():
        expected = 0 if labels[window, query] == labels[window, key] else -torch.inf
        assert mask[window, 0, query, key] == expected


def test_nothing_to_hide_is_no_mask():
    x = torch.empty(0)
    assert attention_mask(fixed_grid((14, 21), 7), x) is None
    assert attention_mask(window_grid((5, 3), 7, shifted=True), x) is None


def test_a_mask_is_made_once_for_each_size():
    x, other = torch.rand(2, 3, 11, 13), torch.rand(1, 5, 11, 13)
    mask = attention_mask(fixed_grid((11, 13), 7), x)
    assert attention_mask(fixed_grid((11, 13), 7), other) is mask
    for grid, mask_padding in [
        (fixed_grid((11, 14), 7), True),
        (fixed_grid((11, 13), 5), True),
        (fixed_grid((11, 13), 7, shifted=True), True),
        (fixed_grid((11, 13), 7, shifted=True), False),
    ]:
        kept = attention_mask(grid, x, mask_padding)
        assert kept.shape != mask.shape or not torch.equal(kept, mask)
    assert attention_mask(fixed_grid((11, 13), 7), x) is mask
    meta = attention_mask(fixed_grid((11, 13), 7), x.to("meta"))
    assert meta.device.type == "meta" and meta.shape == mask.shape


def test_what_a_tracer_sees_is_not_kept(monkeypatch):
    monkeypatch.setattr(ops, "_kept_attention_mask", None)  # to call it would raise
    grid = fixed_grid((11, 17), 7)
    with FakeTensorMode():
        assert isinstance(attention_mask(grid, torch.empty(1, 3, 11, 17)), FakeTensor)
    compiled = torch.compile(attention_mask, backend="eager", fullgraph=True)
    mask = compiled(grid, torch.empty(1, 3, 11, 17), keep=False)
    monkeypatch.undo()
    real = attention_mask(grid, torch.empty(1, 3, 11, 17))
    assert type(real) is torch.Tensor and torch.equal(real, mask)


def test_a_mask_made_in_inference_mode_serves_training():
    grid = fixed_grid((11, 19), 7)
    with torch.inference_mode():
        made = attention_mask(grid, torch.empty(1, 3, 11, 19))
    mask = attention_mask(grid, torch.empty(1, 3, 11, 19))
    assert mask is made
    scale = torch.ones((), requires_grad=True)
    (scale * mask).sum().backward()  # keeps the mask
    assert scale.grad is not None
