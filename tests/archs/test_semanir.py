import inspect

import pytest
import torch

from ir_plugins.archs import SemanIR, SemanIRUNet
from ir_plugins.blocks import key_semantic
from ir_plugins.options.signatures import argument_texts

SIZES = [(1, 1), (1, 9), (2, 3), (8, 8), (17, 23), (31, 5), (67, 129)]
TINY = {"embed_dim": 6, "window_size": 5, "top_k": 7, "drop_path_rate": 0.0}


def columnar(**options):
    torch.manual_seed(0)
    return SemanIR(**TINY | {"depths": [2, 3], "num_heads": [2, 3], "num_feat": 7} | options)


def unet(**options):
    torch.manual_seed(0)
    return SemanIRUNet(
        **TINY | {"depths": [1, 2, 1, 2, 1, 1, 1], "num_heads": [1, 2, 3, 4, 3, 2, 1]} | options
    )


def count(net):
    return round(sum(p.numel() for p in net.parameters()) / 1e6, 3)


@pytest.mark.parametrize(
    "upscale, small, base", [(2, 11.870, 19.896), (3, 12.055, 20.080), (4, 12.018, 20.043)]
)
def test_published_parameter_totals(upscale, small, base):
    with torch.device("meta"):
        assert count(SemanIR(upscale=upscale)) == small
        # the published table has two decimals; the fit that proves the layout gives 20.0435 at x4
        assert count(SemanIR(upscale=upscale, depths=[8] * 8, num_heads=[6] * 8)) == pytest.approx(
            base, abs=6e-4
        )


def test_published_parameter_total_of_the_unet():
    with torch.device("meta"):
        assert count(SemanIRUNet()) == 25.821
        assert count(SemanIRUNet(in_chans=1)) == 25.819


@pytest.mark.parametrize("in_chans", [1, 3])
@pytest.mark.parametrize("upscale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 11)])
def test_columnar_enlarges_any_size(size, upscale, in_chans):
    net = columnar(upscale=upscale, in_chans=in_chans)
    out = net(torch.rand(2, in_chans, *size))
    assert out.shape == (2, in_chans, size[0] * upscale, size[1] * upscale)


@pytest.mark.parametrize("make", [columnar, unet])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_keeps_its_shape_and_stays_finite(make, size):
    net = make().eval()
    with torch.no_grad():
        out = net(torch.rand(1, 3, *size))
    scale = 2 if make is columnar else 1
    assert out.shape[-2:] == (size[0] * scale, size[1] * scale)
    assert out.isfinite().all()


@pytest.mark.parametrize("make", [columnar, unet])
@pytest.mark.parametrize(
    "option", [{}, {"norm": "pre"}, {"logits": "dot"}, {"similarity": "cosine"}, {"in_chans": 1}]
)
@pytest.mark.parametrize("shift", ["alternate", "per_stage", "none"])
def test_every_parameter_gets_a_gradient(make, option, shift):
    net = make(shift=shift, **option)
    net(torch.rand(2, option.get("in_chans", 3), 17, 23)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient for {without}"


@pytest.mark.parametrize("make", [columnar, unet])
def test_backends_agree_through_the_whole_net(make):
    x = torch.rand(1, 3, 17, 23, dtype=torch.float64)
    results = []
    for backend in ("gather", "sdpa"):
        net = make(backend=backend).double()
        out = net(x)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(net.parameters()))])
    torch.testing.assert_close(*results, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "shift, partitions",
    [("alternate", [{False, True}] * 2), ("per_stage", [{False}, {True}]), ("none", [{False}] * 2)],
)
def test_the_dictionary_is_built_once_per_stage_and_partition(shift, partitions, monkeypatch):
    built = []
    build = key_semantic.build_dictionary
    monkeypatch.setattr(
        key_semantic, "build_dictionary", lambda *args, **kw: built.append(args) or build(*args, **kw)
    )
    net = columnar(shift=shift)
    seen = []  # what each layer was handed
    for layer in (layer for stage in net.stages for layer in stage.layers):
        layer.attn.register_forward_hook(lambda module, args, _: seen.append((module.shifted, args[1])))
    net(torch.rand(2, 3, 17, 23))
    assert len(built) == sum(map(len, partitions))
    assert [{shifted for shifted, _ in seen[:2]}, {shifted for shifted, _ in seen[2:]}] == partitions
    for stage in (seen[:2], seen[2:]):
        by_partition = {}
        for shifted, shared in stage:
            assert by_partition.setdefault(shifted, shared) is shared


def test_the_dictionary_comes_from_the_tokens_that_enter_the_stage(monkeypatch):
    entering, built = [], []
    build = key_semantic.build_dictionary
    monkeypatch.setattr(
        key_semantic, "build_dictionary", lambda *args, **kw: built.append(args[0]) or build(*args, **kw)
    )
    net = columnar(shift="none", window_size=17)
    for stage in net.stages:
        stage.register_forward_pre_hook(lambda _, args: entering.append(args[0]))
    net(torch.rand(1, 3, 17, 17))
    for tokens, x in zip(built, entering, strict=True):
        assert torch.equal(tokens[0], x[0].flatten(1).T)


@pytest.mark.parametrize("make", [columnar, unet])
def test_top_k_changes_on_a_live_net(make):
    net, x = make().eval(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        seven = net(x)
        net.top_k = 25
        assert not torch.equal(net(x), seven)
        torch.testing.assert_close(net(x), make(top_k=25).eval()(x))
        net.top_k = 7
        assert torch.equal(net(x), seven)


def test_train_top_k_is_drawn_once_per_training_forward(monkeypatch):
    used = []
    build = key_semantic.build_dictionary
    monkeypatch.setattr(
        key_semantic, "build_dictionary", lambda *args, **kw: used.append(args[1]) or build(*args, **kw)
    )
    net = columnar(train_top_k=[2, 5, 11])
    drawn = []
    for _ in range(40):
        used.clear()
        net(torch.rand(1, 3, 7, 7))
        assert len(used) == 4 and len(set(used)) == 1  # all stages and partitions share the value
        drawn.append(used[0])
    assert set(drawn) == {2, 5, 11}
    used.clear()
    net.eval()(torch.rand(1, 3, 7, 7))
    assert set(used) == {7}


@pytest.mark.parametrize("make", [columnar, unet])
def test_pictures_of_a_batch_do_not_mix(make):
    net, x = make().double().eval(), torch.rand(3, 3, 13, 17, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-9, atol=1e-9)


def test_the_unet_starts_from_its_input():
    net, x = unet().eval(), torch.rand(1, 3, 9, 13)
    torch.nn.init.zeros_(net.conv_last.weight)
    torch.nn.init.zeros_(net.conv_last.bias)
    assert torch.equal(net(x), x)


def test_drop_path_grows_linearly_over_the_layers():
    net = columnar(drop_path_rate=0.2)
    rates = [layer.drop_path.rate for stage in net.stages for layer in stage.layers]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_changing_the_window_needs_no_new_parameters():
    columnar(window_size=8, top_k=9).load_state_dict(columnar().state_dict())


def test_checkpoint_keys_are_frozen():
    assert [name for name, _ in columnar(depths=[1], num_heads=[2]).state_dict().items()] == [
        "conv_first.weight",
        "conv_first.bias",
        "norm_first.weight",
        "norm_first.bias",
        "stages.0.layers.0.norm1.weight",
        "stages.0.layers.0.norm1.bias",
        "stages.0.layers.0.attn.logit_scale",
        "stages.0.layers.0.attn.qkv.weight",
        "stages.0.layers.0.attn.qkv.bias",
        "stages.0.layers.0.attn.proj.weight",
        "stages.0.layers.0.attn.proj.bias",
        "stages.0.layers.0.attn.position_bias.fc1.weight",
        "stages.0.layers.0.attn.position_bias.fc1.bias",
        "stages.0.layers.0.attn.position_bias.fc2.weight",
        "stages.0.layers.0.norm2.weight",
        "stages.0.layers.0.norm2.bias",
        "stages.0.layers.0.mlp.fc1.weight",
        "stages.0.layers.0.mlp.fc1.bias",
        "stages.0.layers.0.mlp.fc2.weight",
        "stages.0.layers.0.mlp.fc2.bias",
        "stages.0.conv.weight",
        "stages.0.conv.bias",
        "norm_last.weight",
        "norm_last.bias",
        "conv_after_body.weight",
        "conv_after_body.bias",
        "conv_before_upsample.weight",
        "conv_before_upsample.bias",
        "upsample.0.weight",
        "upsample.0.bias",
        "conv_last.weight",
        "conv_last.bias",
    ]


@pytest.mark.parametrize(
    "option, message",
    [
        ({"top_k": 0}, "top_k=0 must be a whole number from 1 to the 25 tokens of a window"),
        ({"top_k": 26}, "top_k=26 must be .* change it or window_size=5"),
        ({"train_top_k": [4, 99]}, "train_top_k=99 must be"),
        ({"num_heads": [2, 4]}, "num_heads=4 does not divide the 6 channels"),
        ({"num_heads": [2]}, "differ in length"),
        ({"window_size": 0}, "window_size=0 must be at least 1"),
        ({"top_k": 2.5}, "top_k=2.5 must be a whole number"),
        ({"embed_dim": -6}, "embed_dim=-6 must be at least 1"),
        ({"num_feat": 0}, "num_feat=0 must be at least 1"),
        ({"in_chans": 0}, "in_chans=0"),
        ({"depths": [], "num_heads": []}, r"depths=\[\]"),
        ({"num_heads": [2, 0]}, r"num_heads=\[2, 0\] must be at least 1"),
        ({"drop_path_rate": 1}, r"drop_path_rate=1 must lie in \[0, 1\)"),
        ({"img_range": 0}, "img_range=0 and mlp_ratio=2.0 above 0"),
        ({"mlp_ratio": float("inf")}, "mlp_ratio=inf above 0"),
        ({"upscale": 5}, "upscale=5 must be 3 or a power of two"),
        ({"upscale": 1}, "without upscaling use SemanIRUNet"),
        ({"shift": "both"}, "shift='both' is unknown; choose alternate, per_stage or none"),
        ({"norm": "batch"}, "norm='batch' is unknown; choose post or pre"),
    ],
)
def test_what_cannot_work_is_named(option, message):
    with pytest.raises(ValueError, match=message):
        columnar(**option)


def test_a_live_top_k_is_checked_too():
    net = columnar()
    with pytest.raises(ValueError, match="top_k=26"):
        net.top_k = 26
    assert net.top_k == 7


def test_the_unet_wants_seven_stages():
    with pytest.raises(ValueError, match="seven stages"):
        unet(depths=[1] * 6, num_heads=[1] * 6)


@pytest.mark.parametrize("net", [SemanIR, SemanIRUNet])
def test_an_unknown_argument_names_the_net(net):
    with pytest.raises(TypeError, match=rf"^{net.__name__}\.__init__\(\) got an .* argument 'nothing'$"):
        net(nothing=1)


@pytest.mark.parametrize("net", [SemanIR, SemanIRUNet])
def test_every_argument_has_a_text(net):
    names = list(inspect.signature(net).parameters)
    assert argument_texts(net, names).keys() == set(names)
