"""Networks that do not fit the option file are reported before a run, by declaration or by trial."""

import re
import time

import pytest
import torch
from tiny import AST, RESTORMER, SEMANIR, SEMANIR_UNET, tiny_options
from torch import nn

from ir_plugins.archs import building
from ir_plugins.archs.declaration import Declares
from ir_plugins.checks import option_file
from ir_plugins.models import RestorationModel

from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY

SWINIR = {"type": "SwinIR", "img_size": 16, "window_size": 8, "depths": [2], "num_heads": [2], "embed_dim": 6}
RRDB = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 5, "num_block": 1, "num_grow_ch": 3}
TINY = {"Restormer": RESTORMER, "AST": AST, "SemanIR": SEMANIR, "SemanIRUNet": SEMANIR_UNET}
GRAY = "; 3 is colour (gray is tripled), 1 is luma (color: y in the dataset)"


def problems(network, **changes):
    """What is wrong with a file whose network_g this is, as KEY: TEXT."""
    options = tiny_options() | {"network_g": network} | changes
    return [f"{':'.join(keys)}: {text}" for keys, text in option_file._problems(options, True)]


@pytest.mark.parametrize(
    "network, expected",
    [
        (RRDB | {"scale": 2}, ""),
        (RRDB | {"scale": 4}, "network_g:scale: is 4, but scale is 2; make them equal"),
        (RRDB, "network_g:scale: is 4, but scale is 2; make them equal"),  # by default
        (RRDB | {"scale": 3}, "scale: is 2, but RRDBNet makes pictures 4 times as large; set scale: 4"),
        (
            RRDB | {"scale": 2, "num_in_ch": 1},
            "network_g:num_in_ch: is 1, but datasets:train gives 3 channels" + GRAY,
        ),
        (
            RRDB | {"scale": 2, "num_out_ch": 1},
            "network_g:num_out_ch: is 1, but GT of datasets:train gives 3 channels" + GRAY,
        ),
        (SWINIR | {"upscale": 2, "upsampler": "pixelshuffle"}, ""),
        (
            SWINIR | {"upscale": 3, "upsampler": "pixelshuffledirect"},
            "network_g:upscale: is 3, but scale is 2; make them equal",
        ),
        (SWINIR | {"upscale": 2}, "scale: is 2, but SwinIR keeps the picture's size; set scale: 1"),
        (
            {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 5},
            "network_g:upscale: is 4, but scale is 2; make them equal",
        ),
        ({"type": "SemanIR", "upscale": 4}, "network_g:upscale: is 4, but scale is 2; make them equal"),
        ({"type": "SemanIRUNet"}, "scale: is 2, but SemanIRUNet keeps the picture's size; set scale: 1"),
        # video, faces, discriminators: nothing can be known
        ({"type": "BasicVSR", "num_feat": 5, "num_block": 1}, ""),
        (
            {
                "type": "EDVR",
                "num_feat": 8,
                "num_reconstruct_block": 1,
                "num_extract_block": 1,
                "deformable_groups": 1,
            },
            "",
        ),
        ({"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 4}, ""),
        ({"type": "DUF", "num_layer": 16}, ""),
        ({"type": "StyleGAN2Generator", "out_size": 16, "num_style_feat": 8}, ""),
    ],
)
def test_networks_of_basicsr_and_ours(network, expected):
    assert problems(network) == ([expected] if expected else [])


def test_without_a_scale_it_is_1():
    options = tiny_options() | {"network_g": RRDB | {"scale": 1}}
    del options["scale"]
    assert list(option_file._problems(options, True)) == []
    options["network_g"] = RRDB
    assert [keys for keys, _ in option_file._problems(options, True)] == [("network_g", "scale")]


class Enlarging(nn.Module):
    """Scales without saying so."""

    def __init__(self, factor=2, channels=3, out=3, on_meta=True, tuples=False):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.factor, self.on_meta, self.tuples = factor, on_meta, tuples

    def forward(self, x):
        if not self.on_meta and float(x.sum()) > 1e9:  # looks at a number, which the meta device has not
            return x
        y = nn.functional.interpolate(self.conv(x), scale_factor=self.factor)
        return (y, y) if self.tuples else y


class Saying(Enlarging):
    declares = Declares(scale="factor", in_channels="channels", out_channels="out")


class Wrong(Enlarging):
    """Says what it does not do."""

    declares = Declares(scale=2, in_channels="channels", out_channels="out")


class Refusing(Saying):
    def forward(self, x):
        raise ValueError("wants\nthree pictures")


LINE_OF_REFUSAL = Refusing.forward.__code__.co_firstlineno + 1


@pytest.fixture(autouse=True)
def foreign(monkeypatch):
    for kind in (Enlarging, Saying, Wrong, Refusing):
        monkeypatch.setitem(ARCH_REGISTRY._obj_map, kind.__name__, kind)


@pytest.mark.parametrize("on_meta", [True, False])
@pytest.mark.parametrize(
    "network, expected",
    [
        ({"type": "Enlarging"}, ""),
        (
            {"type": "Enlarging", "factor": 3},
            "scale: is 2, but Enlarging makes pictures 3 times as large; set scale: 3",
        ),
        (
            {"type": "Enlarging", "factor": 1},
            "scale: is 2, but Enlarging keeps the picture's size; set scale: 1",
        ),
        ({"type": "Enlarging", "out": 1}, "network_g: gives pictures of 1 channels; expected 3"),
        (
            {"type": "Enlarging", "channels": 1, "out": 1},
            "network_g: takes pictures of 1 channels, but datasets:train gives 3" + GRAY,
        ),
        ({"type": "Enlarging", "tuples": True}, ""),
        ({"type": "Saying"}, ""),
        ({"type": "Saying", "factor": 3}, "network_g:factor: is 3, but scale is 2; make them equal"),
        ({"type": "Saying", "tuples": True}, "network_g: gives no tensor where a picture is expected"),
        (
            {"type": "Wrong", "factor": 4},
            "network_g: Wrong declares scale 2, but makes pictures 4 times as large; correct its `declares` "
            "or its forward",
        ),
        (
            {"type": "Refusing"},
            f"network_g: cannot restore a picture of 3 x 8 x 9: wants (test_networks.py:{LINE_OF_REFUSAL})",
        ),
    ],
)
def test_networks_from_elsewhere(network, expected, on_meta):
    assert problems(network | {"on_meta": on_meta}) == ([expected] if expected else [])


class Halving(Enlarging):
    def forward(self, x):
        return self.conv(x)[..., ::2, 1:]


class Inverting(Saying):
    def forward(self, x):
        return super().forward(x) * torch.linalg.inv(self.conv.weight[:, :, 1, 1]).norm()


def test_weights_that_must_not_be_zeros(monkeypatch):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, "Inverting", Inverting)
    assert problems({"type": "Inverting"}) == []


def test_an_output_that_is_no_multiple(monkeypatch):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, "Halving", Halving)
    text = (
        "network_g: gives 4 x 6 pixels for 7 x 7, but scale is 2; take a network that gives scale times its"
    )
    (line,) = problems({"type": "Halving"})  # gt_size is 14
    assert line == f"{text} input"


@pytest.mark.parametrize("limit, value", [("MOST_TRIED", 50), ("MOST_AT_ONCE", 900), ("SECONDS", -1)])
def test_a_network_too_large_for_memory_is_tried_on_the_meta_device(monkeypatch, limit, value):
    monkeypatch.setattr(building, limit, value)
    assert len(problems({"type": "Enlarging", "factor": 3})) == 1
    assert len(problems({"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "scale": 3})) == 1
    # where that is impossible nothing can be known
    assert problems({"type": "Enlarging", "factor": 3, "on_meta": False}) == []
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "options",
    [
        {"type": "SemanIR", "window_size": 96, "top_k": 9},
        {"type": "SemanIR", "attention": "mdta", "embed_dim": 1200},
    ],
)
def test_large_networks_take_little_time_and_memory(options):
    start = time.process_time()
    assert problems(options) == []
    assert time.process_time() - start < 20


def test_a_trial_draws_no_random_numbers_and_leaves_no_gradient():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    assert problems({"type": "Enlarging", "on_meta": False}) == []
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["Restormer", "AST", "SemanIR", "SemanIRUNet"])
def test_on_the_meta_device_ours_have_the_shapes_that_they_have_in_memory(name):
    """Some shapes are found without torch."""
    net = building.build_on_meta({"type": name, **TINY[name]})
    scale = 2 if name == "SemanIR" else 1
    for height, width in ((1, 1), (17, 40)):
        assert building.output_shape(net, (1, 3, height, width)) == (1, 3, scale * height, scale * width)
    with pytest.raises(ValueError, match="expected pictures"):
        building.output_shape(net, (1, 2, 8, 8))


class Contradicting(nn.Module):
    """Says that it enlarges by `upscale`, and enlarges by twice that."""

    declares = Declares(scale="upscale", in_channels=3, out_channels=3)

    def __init__(self, upscale=2):
        super().__init__()
        self.body = nn.Upsample(scale_factor=2 * upscale)

    def forward(self, x):
        return self.body(x)


class Misnaming(Contradicting):
    declares = Declares(scale="upscael")


class Failing(Contradicting):
    def forward(self, x):
        return x.reshape(7)  # the line that the message names


@pytest.mark.parametrize(
    "kind, text",
    [
        (Contradicting, "Contradicting declares scale 2, but makes pictures 4 times as large; correct its"),
        (
            Misnaming,
            "Misnaming declares scale='upscael', which is no argument of it; its",
        ),
        (Failing, r"cannot restore a picture of 3 x 8 x 9: .* \(test_networks.py:\d+\)$"),
    ],
)
def test_a_net_from_outside_that_errs_learns_where(monkeypatch, kind, text):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, kind.__name__, kind)
    options = tiny_options() | {"network_g": {"type": kind.__name__}}
    (problem,) = (p for p in option_file._problems(options, True) if p.keys[0] in ("network_g", "scale"))
    assert re.match(text, problem.text), problem.text


class AtOneSize(nn.Module):
    """Works at the size of the training patches only."""

    declares = Declares(scale=1, in_channels=3, out_channels=3)

    def forward(self, x):
        if x.shape[-2:] != (14, 14):
            raise ValueError("14 x 14 pixels only")
        return x


class ResizingTo14(nn.Module):
    def forward(self, x):
        return nn.functional.interpolate(x, (14, 14))


class UsingItsWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3, 3))
        nn.init.orthogonal_(self.weight)
        self.inverse = torch.linalg.inv(self.weight)

    def forward(self, x):
        return x


class WithANoiseMap(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Mapping(RestorationModel):
    def feed_data(self, data):
        super().feed_data(data)
        self.lq = torch.cat([self.lq, self.lq[:, :1]], dim=1)


@pytest.mark.parametrize("kind", [AtOneSize, ResizingTo14, UsingItsWeights, WithANoiseMap])
def test_what_trains_is_not_refused(monkeypatch, kind):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, kind.__name__, kind)
    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "Mapping", Mapping)
    options = tiny_options() | {"network_g": {"type": kind.__name__}, "scale": 1}
    if kind is WithANoiseMap:
        assert any("takes pictures of 4 channels" in p.text for p in option_file._problems(options, True))
        options["model_type"] = "Mapping"
    assert not list(option_file._problems(options, True))


@pytest.mark.parametrize(
    "said",
    [
        {"scale": lambda a: a.get("mode").upper()},
        {"size_multiple": (7, 7)},
        {"in_channels": 0},
        {"scale": 2.0},
    ],
)
def test_a_declaration_that_means_nothing_gets_one_line(monkeypatch, said):
    kind = type("Odd", (ResizingTo14,), {"declares": Declares(**said)})
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, "Odd", kind)
    options = tiny_options() | {"network_g": {"type": "Odd"}, "scale": 1}
    (problem,) = option_file._problems(options, True)
    assert problem.text.startswith(f"Odd declares {next(iter(said))}")
