import math

import pytest
import slow
import torch
import torch.nn.functional as F

from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.blocks.layers import BiasFreeNorm, ChannelNorm, DropPath, Pointwise, hidden_channels


def test_channel_norm_is_layer_norm_per_pixel():
    norm = ChannelNorm(7)
    x = torch.randn(2, 7, 3, 5)
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    torch.testing.assert_close(norm(x), (x - mean) / (variance + 1e-5).sqrt())


def test_drop_path_keeps_the_mean_and_drops_whole_samples():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 1, 1, 2))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(out[..., 0], out[..., 1])
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(out), out)


def test_bias_free_norm_divides_by_the_deviation_but_keeps_the_mean():
    norm = BiasFreeNorm(7).double()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64) + 2
    tokens = x.permute(0, 2, 3, 1)
    mean, deviation = (
        tokens.mean(-1, keepdim=True),
        (tokens.var(-1, keepdim=True, correction=0) + 1e-5).sqrt(),
    )
    expected = (F.layer_norm(tokens, (7,)) + mean / deviation) * norm.weight
    torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bias_free_norm_measures_in_float32(dtype):
    """Squares of a thousand are a million, and float16 ends at 65504."""
    x = (1000 * torch.randn(2, 7, 3, 5)).to(dtype)
    norm = BiasFreeNorm(7)
    got = norm.to(dtype)(x)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), norm.float()(x.float()), rtol=0.02, atol=0.02)


def test_bias_free_norm_of_a_flat_pixel():
    x = torch.full((1, 7, 1, 1), 3.0)
    torch.testing.assert_close(BiasFreeNorm(7)(x), x / math.sqrt(1e-5))


@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_is_a_convolution_with_its_parameters(bias):
    layer = Pointwise(3, 11, bias=bias).double()
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), slow.pointwise(x, layer.weight, layer.bias))
    torch.nn.Conv2d(3, 11, 1, bias=bias).load_state_dict(layer.state_dict())


def test_hidden_channels_are_rounded_down():
    """As the released weights of Restormer have them."""
    assert [hidden_channels(dim, 2.66) for dim in (48, 96, 192, 384)] == [127, 255, 510, 1021]
    assert hidden_channels(4, 0.25) == 1


@pytest.mark.parametrize("ratio", [0.1, 0, -2.0, float("nan")])
def test_a_ratio_that_leaves_no_channels_is_named(ratio):
    with pytest.raises(ValueError, match=rf"ratio={ratio} leaves no hidden channels of dim=6; take a larger"):
        hidden_channels(6, ratio)


@pytest.mark.parametrize("ratio", [1e30, float("inf")])
def test_a_ratio_that_fits_nowhere_is_named(ratio):
    with pytest.raises(ValueError, match=r"gives more hidden channels of dim=6 than fit anywhere"):
        hidden_channels(6, ratio)


@pytest.mark.parametrize("rate", [-0.1, 1, float("nan")])
@pytest.mark.parametrize("name", ["attn_drop", "proj_drop"])
def test_dropout_rates_of_designs_are_checked(name, rate):
    with pytest.raises(ValueError, match=rf"{name}={rate} must lie in \[0, 1\)"):
        ATTENTIONS["assa"](dim=4, num_heads=2, **{name: rate})
    with pytest.raises(ValueError, match=rf"drop={rate} must lie in \[0, 1\)"):
        FEED_FORWARDS["mlp"](dim=4, drop=rate)
