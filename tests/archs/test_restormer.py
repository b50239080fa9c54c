import golden
import pytest
import torch
import torch.nn.functional as F
from plain_restormer import PlainRestormer

from ir_plugins.archs import Restormer

SIZES = [(1, 1), (1, 9), (2, 3), (8, 8), (17, 23), (31, 5), (67, 129)]
TINY = {"dim": 6, "num_blocks": [1, 2, 1, 2], "num_refinement_blocks": 2, "heads": [1, 2, 3, 4]}
VARIANTS = {
    "with_bias": {},
    "biased": {"bias": True},
    "bias_free": {"LayerNorm_type": "BiasFree"},
    "bias_free_biased": {"LayerNorm_type": "BiasFree", "bias": True},
    "dual_pixel": {"inp_channels": 6, "dual_pixel_task": True},
    "dual_pixel_biased": {"inp_channels": 6, "dual_pixel_task": True, "bias": True},
    "gray": {"inp_channels": 1, "out_channels": 1, "LayerNorm_type": "BiasFree"},
    "wide": {"ffn_expansion_factor": 3.2, "num_refinement_blocks": 1, "num_blocks": [2, 1, 1, 1]},
}


def pair(**options):
    """Ours and the plain net, in float64 with the same weights."""
    plain = golden.fill(PlainRestormer(**TINY | options)).double()
    net = Restormer(**TINY | options).double()
    net.load_state_dict(plain.state_dict())
    return net, plain


def channels(options):
    return options.get("inp_channels", 3)


@pytest.mark.parametrize(
    "path", [p for p in golden.CASES if p.stem.startswith("restormer")], ids=lambda path: path.stem
)
def test_it_answers_as_published(path):
    golden.check(path, {"Restormer": Restormer})


@pytest.mark.parametrize(
    "options, total",
    [
        ({}, 26_126_644),
        ({"LayerNorm_type": "BiasFree"}, 26_111_668),
        ({"inp_channels": 6, "dual_pixel_task": True}, 26_132_548),
        ({"inp_channels": 1, "out_channels": 1, "LayerNorm_type": "BiasFree"}, 26_109_076),
    ],
)
def test_published_parameter_totals(options, total):
    with torch.device("meta"):
        net = Restormer(**options)
    assert sum(p.numel() for p in net.parameters()) == total
    # no buffers, so that every entry of a checkpoint is a parameter
    assert len(net.state_dict()) == len(list(net.parameters()))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_equals_the_plain_net_in_outputs_and_gradients(name):
    net, plain = pair(**VARIANTS[name])
    assert list(net.state_dict()) == list(plain.state_dict())
    x = golden.picture([2, channels(VARIANTS[name]), 16, 40], 1).double()
    torch.testing.assert_close(golden.gradients(net, x), golden.gradients(plain, x), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", SIZES)
def test_any_size_keeps_its_shape_and_stays_finite(size, name):
    net = golden.fill(Restormer(**TINY | VARIANTS[name])).eval()
    with torch.no_grad():
        y = net(torch.rand(1, channels(VARIANTS[name]), *size))
    assert y.shape == (1, VARIANTS[name].get("out_channels", 3), *size)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", ["with_bias", "dual_pixel"])
@pytest.mark.parametrize("size", [(8, 9), (11, 13), (17, 23), (67, 129)])
def test_sides_are_reflected_to_multiples_of_8_and_cropped(size, name):
    net, plain = pair(**VARIANTS[name])
    x = golden.picture([2, channels(VARIANTS[name]), *size], 1).double()
    h, w = size
    with torch.no_grad():
        expected = plain(F.pad(x, (0, -w % 8, 0, -h % 8), mode="reflect"))[..., :h, :w]
        torch.testing.assert_close(net(x), expected, rtol=1e-9, atol=1e-9)


def test_it_starts_from_its_input_unless_there_are_two_views():
    for options in ({}, {"inp_channels": 6, "dual_pixel_task": True}):
        net, x = Restormer(**TINY | options), torch.rand(1, channels(options), 9, 13)
        torch.nn.init.zeros_(net.output.weight)
        assert torch.equal(net(x), torch.zeros(1, 3, 9, 13) if options else x)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_gets_a_gradient(name):
    net = Restormer(**TINY | VARIANTS[name])
    net(torch.rand(2, channels(VARIANTS[name]), 17, 23)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient for {without}"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_blocks": [1, 1, 1]}, r"num_blocks=\[1, 1, 1\] and heads=\[1, 2, 3, 4\] must have four"),
        ({"heads": [1, 2, 3, 4, 5]}, r"heads=\[1, 2, 3, 4, 5\] must have four entries"),
        ({"num_blocks": [1, 0, 1, 1]}, r"num_blocks=\[1, 0, 1, 1\] and .* must be at least 1"),
        ({"num_refinement_blocks": 0}, "num_refinement_blocks=0 must be at least 1"),
        ({"inp_channels": 0}, "inp_channels=0, .* must be at least 1"),
        ({"out_channels": -1}, "out_channels=-1, .* must be at least 1"),
        ({"dim": -6}, "dim=-6, .* must be at least 1"),
        ({"dim": 7}, "dim=7 must be even"),
        ({"heads": [1, 2, 5, 4]}, "num_heads=5 does not divide the 24 channels"),
        ({"heads": [1, 0, 3, 4]}, "num_heads=0 does not divide the 12 channels"),
        ({"LayerNorm_type": "Biasfree"}, "LayerNorm_type='Biasfree' is unknown; choose WithBias or BiasFree"),
        ({"inp_channels": 5}, "inp_channels=5 and out_channels=3 must be equal.* set dual_pixel_task"),
        ({"ffn_expansion_factor": 0.1}, "ratio=0.1 leaves no hidden channels of dim=6"),
        (
            {"ffn_expansion_factor": float("inf")},
            "ratio=inf gives more hidden channels of dim=6 than fit anywhere",
        ),
        (
            {"attention": ["mdta"] * 7},
            "attention: 7 designs for 8 stages",
        ),
        ({"ffn": "gdnf"}, "ffn: 'gdnf' is unknown .did you mean gdfn."),
    ],
)
def test_what_cannot_work_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Restormer(**TINY | options)


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match="layernorm_type"):
        Restormer(**TINY, layernorm_type="WithBias")
