import pytest
import slow
import torch

from ir_plugins.blocks.frfn import FeatureRefinement
from ir_plugins.blocks.gdfn import GatedDconvFeedForward
from ir_plugins.blocks.leff import LocallyEnhanced
from ir_plugins.blocks.mlp import Mlp

DIM, RATIO = 11, 1.7  # 18 hidden channels


def linear(layer, x):
    return slow.pointwise(x, layer.weight, layer.bias)


def depthwise(layer, x):
    return slow.depthwise(x, layer.weight, layer.bias)


def slow_gdfn(net, x):
    a, b = depthwise(net.dwconv, linear(net.project_in, x)).chunk(2, dim=1)
    return linear(net.project_out, slow.gelu(a) * b)


def slow_frfn(net, x):
    x = torch.cat([net.partial_conv3(x[:, : DIM // 4]), x[:, DIM // 4 :]], dim=1)
    a, b = slow.gelu(linear(net.linear1[0], x)).chunk(2, dim=1)
    return linear(net.linear2[0], slow.gelu(depthwise(net.dwconv[0], a)) * b)


def slow_leff(net, x):
    return linear(net.linear2[0], slow.gelu(depthwise(net.dwconv[0], slow.gelu(linear(net.linear1[0], x)))))


def slow_mlp(net, x):
    return linear(net.fc2, slow.gelu(linear(net.fc1, x)))


@pytest.mark.parametrize(
    "design, options, slow_one",
    [
        (GatedDconvFeedForward, {}, slow_gdfn),
        (GatedDconvFeedForward, {"bias": True}, slow_gdfn),
        (GatedDconvFeedForward, {"backend": "reference"}, slow_gdfn),
        (FeatureRefinement, {}, slow_frfn),
        (FeatureRefinement, {"backend": "reference"}, slow_frfn),
        (LocallyEnhanced, {}, slow_leff),
        (Mlp, {}, slow_mlp),
    ],
)
def test_feed_forwards_follow_their_equations(design, options, slow_one):
    net = design(dim=DIM, ratio=RATIO, **options).double()
    x = torch.randn(2, DIM, 5, 7, dtype=torch.float64, requires_grad=True)
    leaves = [x, *net.parameters()]
    results = [[out, *torch.autograd.grad(out.square().sum(), leaves)] for out in (net(x), slow_one(net, x))]
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_parameters_are_those_of_the_released_weights():
    """Shapes of AST and Restormer, facts of their checkpoints."""
    shapes = {
        design: {name: tuple(p.shape) for name, p in design(dim=32).named_parameters()}
        for design in (FeatureRefinement, LocallyEnhanced)
    }
    assert shapes[FeatureRefinement] == {
        "linear1.0.weight": (256, 32),
        "linear1.0.bias": (256,),
        "dwconv.0.weight": (128, 1, 3, 3),
        "dwconv.0.bias": (128,),
        "linear2.0.weight": (32, 128),
        "linear2.0.bias": (32,),
        "partial_conv3.weight": (8, 8, 3, 3),
    }
    assert shapes[LocallyEnhanced] == {
        "linear1.0.weight": (128, 32),
        "linear1.0.bias": (128,),
        "dwconv.0.weight": (128, 1, 3, 3),
        "dwconv.0.bias": (128,),
        "linear2.0.weight": (32, 128),
        "linear2.0.bias": (32,),
    }
    assert {name: tuple(p.shape) for name, p in GatedDconvFeedForward(dim=48).named_parameters()} == {
        "project_in.weight": (254, 48, 1, 1),
        "dwconv.weight": (254, 1, 3, 3),
        "project_out.weight": (48, 127, 1, 1),
    }


def test_mlp_drops_after_both_layers_while_training():
    x, net = torch.rand(2, DIM, 5, 7), Mlp(dim=DIM, drop=0.25)
    torch.nn.init.constant_(net.fc2.weight, 0)
    torch.nn.init.constant_(net.fc2.bias, 3)
    assert net(x).unique().tolist() == [0, 4]  # only what follows the second layer shows here
    torch.nn.init.constant_(net.fc1.weight, 0)
    torch.nn.init.constant_(net.fc1.bias, 3)
    torch.nn.init.eye_(net.fc2.weight)
    torch.nn.init.constant_(net.fc2.bias, 0)
    assert (net(x) == 0).float().mean().item() == pytest.approx(1 - 0.75**2, abs=0.06)
    assert (net.eval()(x) > 0).all()


def test_frfn_needs_a_quarter():
    with pytest.raises(
        ValueError, match="frfn convolves a quarter of its channels: dim=3 must be at least 4"
    ):
        FeatureRefinement(dim=3)
    assert FeatureRefinement(dim=7).partial_conv3.weight.shape == (1, 1, 3, 3)


@pytest.mark.parametrize("design", [GatedDconvFeedForward, FeatureRefinement, LocallyEnhanced, Mlp])
def test_a_ratio_that_leaves_no_channels_is_named(design):
    with pytest.raises(ValueError, match=r"ratio=0.01 leaves no hidden channels of dim=11"):
        design(dim=11, ratio=0.01)
