"""How far the nets say that a pixel's answer looks, against what they do."""

import pytest
import torch
from torch import nn

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet
from ir_plugins.archs.declaration import facts, reach
from ir_plugins.blocks import ATTENTIONS
from ir_plugins.blocks.attention import Attention
from ir_plugins.blocks.reach import PICTURE, Reach, joined, reach_of

RESTORMER = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1] * 4}
AST_ = {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9}
COLUMNAR = {"embed_dim": 4, "depths": [1, 1], "num_heads": [1, 2], "num_feat": 5, "window_size": 5}
UNET = {"embed_dim": 4, "depths": [1] * 7, "num_heads": [1] * 7, "window_size": 2}
NO_ATTENTION = {"attention": "none"}
ASSA = {"attention": {"type": "assa", "window_size": 3}}


def net(kind, **options):
    torch.manual_seed(0)
    return kind(**options).double().eval()


def changed(net, x, pixel):
    """How far from a pixel of the input, along each axis, the output changes with it: (H, W) -> distances."""
    moved = x.clone()
    moved[..., pixel[0], pixel[1]] += 1
    with torch.no_grad():
        difference = (net(moved) - net(x)).abs().amax((0, 1)) > 0
    scale = difference.shape[0] // x.shape[2]
    rows, columns = (difference.nonzero() // scale).T
    return max((rows - pixel[0]).abs().max().item(), (columns - pixel[1]).abs().max().item())


@pytest.mark.parametrize(
    "kind, options, pixels",
    [
        # 2 convolutions at full size, of each of 8 blocks 1 at its scale, 3 down, 3 up, 7 inside a pixel
        (Restormer, RESTORMER, 2 + (1 + 2 + 4 + 8 + 4 + 2 + 1 + 1) + (1 + 2 + 4) + (8 + 4 + 2) + 7),
        (Restormer, RESTORMER | {"ffn": "mlp"}, 2 + (1 + 2 + 4) + (8 + 4 + 2) + 7),
        (AST, AST_, 2 + (1 + 2 + 4 + 8 + 16 + 8 + 4 + 2 + 1) + (1 + 2 + 4 + 8) + 15),
        (SemanIR, COLUMNAR, 2 + 5),
        (SemanIR, COLUMNAR | {"ffn": "frfn"}, 2 * 2 + 2 + 5),
        (SemanIR, COLUMNAR | {"upscale": 4, "ffn": "leff"}, 2 + 2 + 6),
        (SemanIRUNet, UNET, 2 + (1 + 2 + 4 + 8 + 4 + 2 + 1) + 2 * (1 + 2 + 4) + 7),
    ],
)
def test_without_attention_the_reach_is_a_halo(kind, options, pixels):
    made = net(kind, **options, **NO_ATTENTION)
    assert reach(made) == Reach("halo", pixels)
    side = 2 * pixels + 41
    x = torch.rand(1, 3, side, side, dtype=torch.float64)
    farthest = max(changed(made, x, (side // 2 + step, side // 2 - step)) for step in (0, 3))
    assert pixels // 3 < farthest <= pixels  # it is a bound, and not far from the truth


WINDOWED = [
    (Restormer, RESTORMER | ASSA, 24),
    (Restormer, RESTORMER | {"attention": ["none"] * 6 + ["window", "none"]}, 8),
    (AST, AST_ | {"win_size": 2}, 32),
    (AST, AST_ | {"img_size": 16}, 16),  # windows of 1, 2, 4, 8 and 8 pixels at 1/16, 1/8, 1/4, 1/2, 1/1
    (SemanIR, COLUMNAR, 5),
    (SemanIR, COLUMNAR | {"attention": [None, {"type": "window", "window_size": 3}]}, 15),
    (SemanIRUNet, UNET, 16),
]


@pytest.mark.parametrize("kind, options, grid", WINDOWED)
def test_windows_lie_on_a_grid_of_the_picture(kind, options, grid):
    """A piece that begins on the grid gets the same answer far from where it was cut."""
    made = net(kind, **options)
    assert reach(made) == Reach("windows", grid)
    x = torch.rand(1, 3, 7 * grid + 96, 7 * grid + 96, dtype=torch.float64)
    scale = 2 if kind is SemanIR else 1
    cut, away = grid, (5 * grid + 64) * scale
    with torch.no_grad():
        whole = made(x)[..., cut * scale :, cut * scale :]
        piece = made(x[..., cut:, cut:])
    assert not torch.equal(whole, piece)
    torch.testing.assert_close(piece[..., away:, away:], whole[..., away:, away:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind, options, grid", WINDOWED[::3])
def test_windows_are_not_the_whole_picture(kind, options, grid):
    made = net(kind, **options)
    side = 9 * grid + 128
    x = torch.rand(1, 3, side, side, dtype=torch.float64)
    assert changed(made, x, (0, 0)) < side - 1 - grid


@pytest.mark.parametrize(
    "kind, options",
    [
        (Restormer, RESTORMER | {"attention": "mdta"}),
        (AST, AST_ | {"attention": ["none"] * 4 + ["mdta"] + ["none"] * 4}),
        (SemanIR, COLUMNAR | {"attention": [None, "mdta"]}),
        (SemanIRUNet, UNET | {"attention": "mdta"}),
    ],
)
def test_one_attention_across_channels_looks_at_the_whole_picture(kind, options):
    made = net(kind, **options)
    assert reach(made) == PICTURE
    x = torch.rand(1, 3, 136, 136, dtype=torch.float64)
    assert changed(made, x, (0, 0)) == 135


def test_the_defaults_are_the_papers():
    with torch.device("meta"):
        found = [reach(kind()) for kind in (Restormer, AST, SemanIR, SemanIRUNet)]
    assert found == [PICTURE, Reach("windows", 128), Reach("windows", 32), Reach("windows", 256)]


def test_a_design_that_does_not_say_it_may_look_anywhere():
    assert reach_of(nn.Identity()) == PICTURE
    assert reach_of(Attention(dim=2, num_heads=1)) == PICTURE
    foreign = nn.Identity()
    foreign.reach = 7  # something else by that name
    assert reach_of(foreign) == PICTURE
    assert reach_of(ATTENTIONS["window"](dim=2, num_heads=1, window_size=7)) == Reach("windows", 7)


def test_layers_that_follow_each_other():
    halo, windows = Reach("halo", 3), Reach("windows", 5)
    assert joined([]) == Reach("halo", 0)
    assert joined([(halo, 1), (halo, 4)]) == Reach("halo", 15)
    assert joined([(halo, 1), (windows, 2)], grid=4) == Reach("windows", 20)
    assert joined([(windows, 2), (Reach("windows", 3), 1)]) == Reach("windows", 30)
    assert joined([(windows, 2), (PICTURE, 1)]) == PICTURE


@pytest.mark.parametrize(
    "kind, options, expected",
    [
        (Restormer, RESTORMER | {"inp_channels": 6, "dual_pixel_task": True}, (1, 6, 3)),
        (Restormer, RESTORMER | {"inp_channels": 1, "out_channels": 1}, (1, 1, 1)),
        (AST, AST_ | {"dd_in": 5, "in_chans": 2}, (1, 5, 2)),
        (SemanIR, COLUMNAR | {"upscale": 3}, (3, 3, 3)),
        (SemanIR, COLUMNAR | {"in_chans": 1}, (2, 1, 1)),
        (SemanIRUNet, UNET | {"in_chans": 1}, (1, 1, 1)),
    ],
)
def test_what_a_net_declares_is_what_its_forward_gives(kind, options, expected):
    said = facts(kind, options)
    assert (said.scale, said.in_channels, said.out_channels) == expected
    assert said.size_multiple == 1 and said.value_range == (0.0, 1.0)
    y = kind(**options)(torch.rand(1, said.in_channels, 7, 9))
    assert y.shape == (1, said.out_channels, 7 * said.scale, 9 * said.scale)
