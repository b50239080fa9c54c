import golden
import pytest
import torch
from plain_ast import PlainAST
from torch import nn

from ir_plugins.archs import AST
from ir_plugins.blocks.layers import DropPath
from ir_plugins.ops import windows

SIZES = [(1, 1), (1, 9), (2, 3), (8, 8), (17, 23), (31, 5), (67, 129)]
TINY = {
    "embed_dim": 4,
    "num_heads": [1, 1, 1, 1, 16, 8, 4, 2, 2],
    "depths": [1, 2, 1, 1, 2, 2, 1, 2, 1],
    "mlp_ratio": 2.0,
    "drop_path_rate": 0.0,
}
BIG = {"embed_dim": 32, "depths": [1, 2, 8, 8, 2, 8, 8, 2, 1]}
# the options, and a side that the plain net takes with them
VARIANTS = {
    "leff": ({"img_size": 128}, 128),
    "frfn": ({"img_size": 128, "token_mlp": "frfn"}, 128),
    "ffn": ({"img_size": 128, "token_mlp": "ffn"}, 128),
    "shifted_bottom": ({"img_size": 256}, 128),
    "one_window_at_two_levels": ({"img_size": 64}, 64),
    "no_qkv_bias": ({"qkv_bias": False, "win_size": 4}, 64),
    "scale": ({"qk_scale": 0.7, "win_size": 4}, 64),
    "more_channels_in": ({"dd_in": 5, "in_chans": 2, "win_size": 4}, 64),
    "small_windows": ({"win_size": 4, "img_size": 64, "token_mlp": "frfn"}, 64),
}


def make(**options):
    return golden.fill(AST(**TINY | options)).eval()


@pytest.mark.parametrize(
    "path", [p for p in golden.CASES if p.stem.startswith("ast")], ids=lambda path: path.stem
)
def test_it_answers_as_published(path):
    golden.check(path, {"AST": AST})


@pytest.mark.parametrize(
    "options, total, entries",
    [
        ({**BIG, "token_mlp": "frfn"}, 65_362_455, 611),
        ({**BIG, "token_mlp": "leff"}, 47_766_871, 571),
        ({**BIG, "token_mlp": "ffn"}, 47_338_071, 491),
        ({"embed_dim": 16, "token_mlp": "frfn"}, 6_645_347, 292),
        ({"embed_dim": 16, "token_mlp": "leff"}, 5_046_723, 274),
        ({}, 19_919_507, 274),
    ],
)
def test_published_parameter_totals(options, total, entries):
    with torch.device("meta"):
        net = AST(**options)
    assert sum(p.numel() for p in net.parameters()) == total
    assert len(net.state_dict()) == entries


@pytest.mark.parametrize("name", VARIANTS)
def test_it_equals_the_plain_net_in_outputs_and_gradients(name):
    options, side = VARIANTS[name]
    plain = golden.fill(PlainAST(**TINY | options)).double().eval()
    net = AST(**TINY | options).double().eval()
    shapes = [[(key, value.shape) for key, value in n.state_dict().items()] for n in (net, plain)]
    assert shapes[0] == shapes[1]
    net.load_state_dict(plain.state_dict())
    x = golden.picture([1, options.get("dd_in", 3), side, side], 1).double()
    torch.testing.assert_close(golden.gradients(net, x), golden.gradients(plain, x), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"token_mlp": "frfn", "img_size": 64}, {"mask_padding": False}])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_keeps_its_shape_and_stays_finite(size, options):
    with torch.no_grad():
        y = make(**options)(torch.rand(1, 3, *size))
    assert y.shape == (1, 3, *size) and y.isfinite().all()


@pytest.mark.parametrize(
    "img_size, levels",  # window and shift of the second block, at the bottom and the level above
    [
        (16, [(1, False), (2, False)]),
        (64, [(4, False), (8, False)]),
        (127, [(7, False), (8, True)]),
        (128, [(8, False), (8, True)]),
        (144, [(8, True), (8, True)]),
        (256, [(8, True), (8, True)]),
    ],
)
def test_the_training_size_decides_windows_and_shifts(img_size, levels):
    net = AST(**TINY, img_size=img_size)
    found = [stage.blocks[1].attn for stage in (net.conv, net.decoderlayer_0)]
    assert [(attn.window_size, attn.shifted) for attn in found] == levels
    for attn, (window, _) in zip(found, levels, strict=True):
        assert len(attn.relative_position_bias_table) == (2 * window - 1) ** 2
    assert not net.conv.blocks[0].attn.shifted


def test_the_training_size_is_no_size_of_the_input():
    x = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        small, large, larger = (make(img_size=img_size)(x) for img_size in (128, 256, 512))
    assert golden.distance(small, large) > 1e-4
    assert torch.equal(larger, large)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [(17, 23), (5, 31)])
def test_what_fills_up_windows_is_no_key_where_padding_is_masked(masked, size, monkeypatch):
    net, x, pad = make(mask_padding=masked).double(), torch.rand(1, 3, *size).double(), windows.F.pad
    with torch.no_grad():
        zeros = net(x)
        monkeypatch.setattr(windows.F, "pad", lambda y, amounts: pad(y, amounts, value=7.0))
        sevens = net(x)
    assert (golden.distance(sevens, zeros) < 1e-12) is masked


def test_masked_padding_changes_nothing_where_windows_are_whole():
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(make(mask_padding=False)(x), make()(x))


def test_the_residual_needs_three_channels_in():
    for dd_in, in_chans in ((1, 3), (3, 3), (4, 3), (4, 4)):
        net, x = make(dd_in=dd_in, in_chans=in_chans), torch.rand(1, dd_in, 9, 13)
        torch.nn.init.zeros_(net.output_proj.proj[0].weight)
        torch.nn.init.zeros_(net.output_proj.proj[0].bias)
        assert torch.equal(net(x), x if dd_in == 3 else torch.zeros(1, in_chans, 9, 13))


def drop_path_rates(net, *stages):
    blocks = [block for stage in stages for block in net.get_submodule(stage).blocks]
    return [block.drop_path.rate for block in blocks]


def test_drop_path_grows_through_the_encoder_and_falls_through_the_decoder():
    net = AST(**TINY | {"depths": [1, 2, 1, 1, 2, 2, 1, 1, 1], "drop_path_rate": 0.2})
    rates = [0, 0.05, 0.1, 0.15, 0.2]
    assert drop_path_rates(net, *(f"encoderlayer_{i}" for i in range(4))) == pytest.approx(rates)
    assert drop_path_rates(net, "conv") == pytest.approx([0.2, 0.2])
    assert drop_path_rates(net, *(f"decoderlayer_{i}" for i in range(4))) == pytest.approx(rates[::-1])


def test_drop_path_acts_on_both_branches(monkeypatch):
    seen = []
    monkeypatch.setattr(DropPath, "forward", lambda self, x: seen.append(self) or x)
    net = make()
    net(torch.rand(1, 3, 17, 23))
    blocks = [module for module in net.modules() if hasattr(module, "drop_path")]
    assert {id(b.drop_path): 1 + (b.attn is not None) for b in blocks} == {
        id(drop): seen.count(drop) for drop in seen
    }


@pytest.mark.parametrize(
    "options",
    [{"drop_rate": 0.3}, {"attn_drop_rate": 0.3}, {"drop_path_rate": 0.3}],
    ids=lambda options: next(iter(options)),
)
def test_drop_rates_act_in_training_alone(options):
    net, x = make(**options).train(), torch.rand(2, 3, 17, 23)
    with torch.no_grad():
        assert not torch.equal(net(x), net(x))
        assert torch.equal(net.eval()(x), make()(x))


def test_each_drop_rate_goes_to_its_places():
    net = AST(**TINY, token_mlp="ffn", drop_rate=0.3, attn_drop_rate=0.2)
    dropouts = {name.rpartition(".")[2]: m.p for name, m in net.named_modules() if isinstance(m, nn.Dropout)}
    assert dropouts == {"pos_drop": 0.3, "proj_drop": 0.3, "drop": 0.3}
    assert {attn.attn_drop for attn in (m for m in net.modules() if hasattr(m, "attn_drop"))} == {0.2}


@pytest.mark.parametrize("token_mlp", ["leff", "frfn", "ffn"])
def test_every_parameter_gets_a_gradient(token_mlp):
    net = AST(**TINY, token_mlp=token_mlp)
    net(torch.rand(2, 3, 17, 23)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient for {without}"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"depths": [1] * 8}, r"depths=\[1, 1, 1, 1, 1, 1, 1, 1\] and num_heads=.* must have nine entries"),
        ({"num_heads": [1] * 10}, "num_heads=.* must have nine entries"),
        ({"depths": [1] * 8 + [0]}, r"depths=\[1, 1, 1, 1, 1, 1, 1, 1, 0\] and .* must be at least 1"),
        ({"num_heads": [0] + [1] * 8}, r"num_heads=\[0, 1, .* must be at least 1"),
        ({"in_chans": 0}, "in_chans=0, .* must be at least 1"),
        ({"dd_in": 0}, "dd_in=0, .* must be at least 1"),
        ({"embed_dim": -4}, "embed_dim=-4, .* must be at least 1"),
        ({"win_size": 0}, "win_size=0, .* must be at least 1"),
        ({"img_size": 15}, "img_size=15 must be at least 16 pixels"),
        ({"in_chans": 4}, "dd_in=3 and in_chans=4 must be equal"),
        ({"drop_rate": 1.0}, r"drop_rate=1.0 must lie in \[0, 1\)"),
        ({"attn_drop_rate": -0.1}, r"attn_drop_rate=-0.1 must lie in \[0, 1\)"),
        ({"drop_path_rate": float("nan")}, r"drop_path_rate=nan must lie in \[0, 1\)"),
        ({"token_projection": "conv"}, "token_projection='conv' is unknown; choose linear"),
        ({"token_mlp": "frnf"}, "token_mlp='frnf' is unknown; choose ffn, mlp, leff or frfn"),
        ({"num_heads": [1, 1, 1, 1, 7, 8, 4, 2, 1]}, "num_heads=7 does not divide the 64 channels"),
        ({"embed_dim": 3, "token_mlp": "frfn", "num_heads": [1] * 9}, "dim=3 must be at least 4"),
        ({"mlp_ratio": 0.1}, "ratio=0.1 leaves no hidden channels of dim=4"),
        (
            {"attention": ["assa"] * 5},
            "attention: 5 designs for 9 stages",
        ),
        ({"ffn": "lef"}, "ffn: 'lef' is unknown .did you mean leff."),
    ],
)
def test_what_cannot_work_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        AST(**TINY | options)


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match="embed_dims"):
        AST(embed_dims=4)
