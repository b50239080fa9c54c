"""What networks say about themselves, against what they do."""

import math

import pytest
import torch
from tiny import AST, RESTORMER, SEMANIR, SEMANIR_UNET
from torch import nn

from ir_plugins.archs.declaration import (
    BASICSR,
    PICTURE,
    Declares,
    Reach,
    declaration,
    facts,
    is_declared,
    reach,
)

from basicsr.archs.rrdbnet_arch import RRDBNet
from basicsr.utils.registry import ARCH_REGISTRY

COLOURS = {"num_in_ch": 3, "num_out_ch": 3}
SWINIR = {"embed_dim": 6, "depths": [2, 2], "num_heads": [2, 2], "mlp_ratio": 2}
NETS = [
    ("EDSR", COLOURS | {"num_feat": 5, "num_block": 2, "upscale": 3}),
    ("EDSR", COLOURS | {"num_feat": 5, "num_block": 1, "upscale": 4, "num_out_ch": 3}),
    ("RCAN", COLOURS | {"num_feat": 16, "num_group": 1, "num_block": 1, "upscale": 2}),
    ("MSRResNet", {"num_in_ch": 3, "num_feat": 5, "num_block": 1}),
    ("MSRResNet", {"num_feat": 5, "num_block": 2, "upscale": 3}),
    ("SRVGGNetCompact", {"num_feat": 5, "num_conv": 2, "upscale": 3}),
    (
        "ECBSR",
        COLOURS | {"num_block": 1, "num_channel": 5, "with_idt": False, "act_type": "prelu", "scale": 2},
    ),
    ("RRDBNet", COLOURS | {"num_feat": 5, "num_block": 1, "num_grow_ch": 3}),
    ("RRDBNet", COLOURS | {"num_feat": 5, "num_block": 1, "num_grow_ch": 3, "scale": 1, "num_out_ch": 1}),
    ("RRDBNet", COLOURS | {"num_feat": 5, "num_block": 1, "num_grow_ch": 3, "scale": 2, "num_in_ch": 1}),
    ("RRDBNet", COLOURS | {"num_feat": 5, "num_block": 1, "num_grow_ch": 3, "scale": 3}),  # enlarges by 4
    ("RIDNet", {"in_channels": 3, "mid_channels": 16, "out_channels": 3, "num_block": 1}),
    ("SwinIR", SWINIR | {"img_size": 20, "window_size": 5, "upscale": 3, "upsampler": "pixelshuffle"}),
    ("SwinIR", SWINIR | {"img_size": 20, "window_size": 5, "upscale": 2, "upsampler": "pixelshuffledirect"}),
    ("SwinIR", SWINIR | {"img_size": 20, "window_size": 5, "upscale": 4, "upsampler": "nearest+conv"}),
    ("SwinIR", SWINIR | {"img_size": 20, "window_size": 5, "upscale": 2, "in_chans": 1}),  # no upsampler
    ("SwinIR", SWINIR | {"img_size": [6, 15], "window_size": 9, "upscale": 1}),  # its windows have 6 pixels
    ("Restormer", RESTORMER | {"inp_channels": 6, "dual_pixel_task": True}),
    ("Restormer", RESTORMER | {"inp_channels": 1, "out_channels": 1}),
    ("AST", AST | {"dd_in": 6, "depths": [1] * 9}),
    ("SemanIR", SEMANIR | {"upscale": 3}),
    ("SemanIR", SEMANIR | {"in_chans": 1}),
    ("SemanIRUNet", SEMANIR_UNET),
]


def built(name, arguments):
    kind = ARCH_REGISTRY.get(name)
    return kind, kind(**arguments).eval()


@pytest.mark.parametrize("name, arguments", NETS)
def test_scale_channels_and_sizes_are_those_of_the_forward(name, arguments):
    kind, net = built(name, arguments)
    said = facts(kind, {"type": name, **arguments})
    multiple = said.size_multiple
    with torch.no_grad():
        for height, width in ((multiple, 2 * multiple), (3 * multiple, multiple)):
            y = net(torch.rand(1, said.in_channels, height, width))
            assert y.shape == (1, said.out_channels, said.scale * height, said.scale * width)
        if multiple > 1:  # and the caller really has to pad
            with pytest.raises((RuntimeError, AssertionError, ValueError)):
                net(torch.rand(1, said.in_channels, multiple + 1, 2 * multiple))


@pytest.mark.parametrize("name, arguments", NETS)
def test_a_pixel_looks_no_further_than_the_net_says(name, arguments):
    """Where the gradient of the output's middle pixel is not zero."""
    kind, net = built(name, arguments)
    said, far = facts(kind, arguments), reach(net)
    if far.kind != "halo":  # tests/archs/test_reach.py perturbs pixels of our nets
        assert far == PICTURE or far.pixels >= said.size_multiple >= 1
        return
    side = 2 * far.pixels + 2 * said.size_multiple
    side = math.ceil((side + 5) / said.size_multiple) * said.size_multiple
    x = torch.rand(1, said.in_channels, side, side, requires_grad=True)
    y = net(x)
    middle = side // 2
    y[0, :, said.scale * middle, said.scale * middle].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert middle - far.pixels <= rows.min() and rows.max() <= middle + far.pixels
    assert len(rows) > 3  # it does look around


def test_every_net_of_the_table_is_tried_here():
    assert set(BASICSR) <= {name for name, _ in NETS}


def test_arguments_are_named():
    assert facts(RRDBNet, COLOURS).called == {
        "scale": "scale",
        "in_channels": "num_in_ch",
        "out_channels": "num_out_ch",
    }
    assert facts(ARCH_REGISTRY.get("SemanIR"), {}).called["scale"] == "upscale"
    assert "scale" not in facts(ARCH_REGISTRY.get("Restormer"), {}).called


class Silent(nn.Module):
    def __init__(self, upscale=2, in_chans=3):
        super().__init__()


class Enlarging(Silent):
    declares = Declares(scale="upscale", in_channels=lambda a: 2 * a["in_chans"], reach=Reach("halo", 7))


def test_a_class_from_elsewhere_says_it_or_stays_unknown():
    said = facts(Silent, {"upscale": 4})
    assert said == (None, None, None, 1, (0.0, 1.0), {}) and not is_declared(Silent)
    assert reach(Silent()) == PICTURE
    assert facts(Enlarging, {"upscale": 4})[:3] == (4, 6, None) and is_declared(Enlarging)
    assert reach(Enlarging()) == ("halo", 7)


def test_a_class_of_the_same_name_is_not_basicsrs():
    EDSR = type("EDSR", (Silent,), {})
    assert not is_declared(EDSR) and declaration(EDSR).scale is None
    Silent.declares = 5  # an attribute that has nothing to do with it
    try:
        assert not is_declared(Silent)
    finally:
        del Silent.declares
