"""Both SemanIR nets against nets that are written plainly, with the same weights."""

import golden
import pytest
import torch
from plain_semanir import PlainSemanIR, PlainSemanIRUNet

from ir_plugins.archs import SemanIR, SemanIRUNet

TINY = {"embed_dim": 6, "window_size": 5, "top_k": 7}
COLUMNAR = TINY | {"depths": [2, 3], "num_heads": [2, 3], "num_feat": 7}
UNET = TINY | {"depths": [1, 2, 1, 2, 1, 1, 2], "num_heads": [1, 2, 3, 4, 3, 2, 1]}
NETS = {
    "columnar": (SemanIR, PlainSemanIR, COLUMNAR, (13, 17)),
    "columnar_x3_per_stage": (
        SemanIR,
        PlainSemanIR,
        COLUMNAR | {"upscale": 3, "shift": "per_stage", "norm": "pre", "logits": "dot"},
        (7, 16),
    ),
    "columnar_x4_gray": (
        SemanIR,
        PlainSemanIR,
        COLUMNAR | {"upscale": 4, "in_chans": 1, "shift": "none", "similarity": "cosine", "img_range": 255.0},
        (11, 4),
    ),
    "columnar_half_of_a_window": (SemanIR, PlainSemanIR, COLUMNAR | {"top_k": None}, (9, 10)),
    "columnar_all_keys": (SemanIR, PlainSemanIR, COLUMNAR | {"top_k": 25}, (9, 10)),
    "unet": (SemanIRUNet, PlainSemanIRUNet, UNET, (19, 29)),
    "unet_even_window": (
        SemanIRUNet,
        PlainSemanIRUNet,
        UNET | {"window_size": 4, "shift": "per_stage", "mlp_ratio": 1.5, "img_range": 3.0},
        (9, 24),
    ),
    "unet_pre_norm_gray": (
        SemanIRUNet,
        PlainSemanIRUNet,
        UNET | {"in_chans": 1, "norm": "pre", "similarity": "cosine"},
        (17, 11),
    ),
}


def pair(name, **ours):
    """Ours and the plain net, in float64 with the same weights."""
    kind, plain_kind, options, size = NETS[name]
    plain = golden.fill(plain_kind(**options)).double()
    net = kind(**options | {"drop_path_rate": 0.0} | ours).double()
    assert list(net.state_dict()) == list(plain.state_dict())
    net.load_state_dict(plain.state_dict())
    return net, plain, golden.picture([2, options.get("in_chans", 3), *size], 1).double()


def assert_alike(net, plain, x):
    expected, got = golden.gradients(plain, x), golden.gradients(net, x)
    assert list(got) == list(expected)
    # our offsets between pixels are float32
    far = {key: golden.distance(got[key], expected[key]) for key in got}
    assert max(far.values()) < 1e-4, far


@pytest.mark.parametrize("name", NETS)
def test_it_equals_the_plain_net_in_outputs_and_gradients(name):
    net, plain, x = pair(name)
    assert_alike(net.eval(), plain, x)


@pytest.mark.parametrize("name", ["columnar", "unet"])
def test_in_training_it_keeps_the_number_of_keys_that_was_drawn(name):
    net, plain, x = pair(name, top_k=3, train_top_k=[7])
    assert_alike(net.train(), plain, x)
    with torch.no_grad():
        assert golden.distance(net.eval()(x), plain(x)) > 1e-6


@pytest.mark.parametrize("name", ["columnar", "unet"])
def test_top_k_on_a_live_net(name):
    net, plain, x = pair(name, top_k=3)
    net.top_k = 7
    assert_alike(net.eval(), plain, x)
