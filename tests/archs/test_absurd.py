"""Absurd arguments and inputs: a right answer, or a ValueError that names what is wrong."""

import copy
import math
import re

import numpy as np
import pytest
import torch

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet

SEMANIR = {"embed_dim": 6, "window_size": 5, "top_k": 7}
SMALL = {
    "SemanIR": (SemanIR, SEMANIR | {"depths": [2], "num_heads": [2], "num_feat": 5}),
    "SemanIRUNet": (SemanIRUNet, SEMANIR | {"depths": [2] + [1] * 6, "num_heads": [1] * 7}),
    "Restormer": (
        Restormer,
        {"dim": 6, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1] * 4},
    ),
    "AST": (
        AST,
        {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "win_size": 4, "img_size": 64},
    ),
}
HUGE, NAN = 10**30, float("nan")


def make(name, **options):
    torch.manual_seed(0)
    kind, usual = SMALL[name]
    return kind(**usual | options).eval()


WHOLE = [0, -1, 10**8, HUGE, 1.5, NAN, True, None, "8", [8], {}]
NUMBER = [-1, HUGE, NAN, math.inf, True, None, "8", [1]]
RATE = [*NUMBER, 1]
# of each entry of a list, and in place of the list
ENTRY, LIST = [0, 10**8, HUGE, 1.5, None, True, "1"], [[], 3, None, "11"]
ARGUMENTS = {
    "SemanIR": {
        "in_chans": WHOLE,
        "embed_dim": WHOLE,
        "depths": LIST,
        "num_heads": LIST,
        "window_size": WHOLE,
        "mlp_ratio": NUMBER,
        "top_k": [value for value in WHOLE if value is not None],
        "train_top_k": [4, [0], [-1], [26], [1.5], [None], None],
        "img_range": NUMBER,
        "drop_path_rate": RATE,
        "upscale": WHOLE,
        "num_feat": WHOLE,
        "use_checkpoint": [1, "no", None],
        "shift": [1, None],
    },
    "SemanIRUNet": {"depths": LIST, "num_heads": LIST, "window_size": WHOLE},
    "Restormer": {
        "dim": WHOLE,
        "inp_channels": WHOLE,
        "num_blocks": LIST,
        "heads": LIST,
        "num_refinement_blocks": WHOLE,
        "ffn_expansion_factor": NUMBER,
        "bias": [1, None],
        "LayerNorm_type": [1, None],
    },
    "AST": {
        "img_size": WHOLE,
        "in_chans": WHOLE,
        "embed_dim": WHOLE,
        "depths": LIST,
        "num_heads": LIST,
        "win_size": WHOLE,
        "mlp_ratio": NUMBER,
        "qk_scale": [HUGE, NAN, math.inf, "8"],
        "drop_rate": RATE,
        "attn_drop_rate": RATE,
        "drop_path_rate": RATE,
        "mask_padding": [3, None],
    },
}


CASES = [(name, argument) for name, table in ARGUMENTS.items() for argument in table]


@pytest.mark.parametrize("name, argument", CASES)
def test_an_absurd_argument_is_named(name, argument):
    usual, values = SMALL[name][1].get(argument), ARGUMENTS[name][argument]
    for value in [*values, *([[entry] * len(usual) for entry in ENTRY] if values is LIST else [])]:
        # some values are wrong only together with others, which the message then names
        with pytest.raises(ValueError, match=rf"(\b|_){argument}\b|{re.escape(str(value))[:20]}"):
            make(name, **{argument: value})


@pytest.mark.parametrize(
    "name, argument",
    [
        ("SemanIR", "depths"),
        ("Restormer", "num_blocks"),
        ("Restormer", "num_refinement_blocks"),
        ("AST", "depths"),
    ],
)
def test_a_million_layers_are_refused_before_the_first(name, argument):
    usual = SMALL[name][1][argument]
    many = 1_000_000 if isinstance(usual, int) else [1_000_000, *usual[1:]]
    with pytest.raises(ValueError, match=f"{argument}: 1,000,0.. layers .*take at most 10,000"):
        make(name, **{argument: many})


@pytest.mark.parametrize("name", SMALL)
def test_tuples_and_numpy_s_numbers_serve_too(name):
    like = {k: tuple(np.int64(i) for i in v) for k, v in SMALL[name][1].items() if isinstance(v, list)}
    like |= {k: np.int64(v) for k, v in SMALL[name][1].items() if type(v) is int and k != "top_k"}
    x = torch.rand(1, 3, 9, 11)
    assert torch.equal(make(name, **like)(x), make(name)(x))


NO_PICTURES = {
    "gray": torch.rand(1, 1, 8, 8),
    "four channels": torch.rand(1, 4, 8, 8),
    "no channel": torch.rand(1, 0, 8, 8),
    "no batch": torch.rand(3, 8, 8),
    "a plane": torch.rand(8, 8),
    "five axes": torch.rand(1, 1, 3, 8, 8),
    "no rows": torch.rand(1, 3, 0, 8),
    "no columns": torch.rand(1, 3, 8, 0),
    "no pictures": torch.rand(0, 3, 8, 8),
    "bytes": torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    "whole numbers": torch.zeros(1, 3, 8, 8, dtype=torch.int64),
    "complex numbers": torch.zeros(1, 3, 8, 8, dtype=torch.complex64),
    "an array": np.zeros((1, 3, 8, 8), np.float32),
    "nothing": None,
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_batch_of_pictures_is_refused(name, what):
    x = NO_PICTURES[what]
    got = re.escape(str(tuple(x.shape))) if isinstance(x, torch.Tensor) else type(x).__name__
    with pytest.raises(ValueError, match=rf"expected pictures \(B, 3, H, W\).*got (a )?{got}"):
        make(name)(x)


@pytest.mark.parametrize("name", SMALL)
def test_thin_pictures_in_any_memory_and_format(name):
    net = make(name)
    scale = 2 if name == "SemanIR" else 1
    with torch.no_grad():
        for size in ((1, 1), (1, 4001), (4001, 1)):
            y = net(torch.rand(1, 3, *size))
            assert y.shape[2:] == (size[0] * scale, size[1] * scale) and y.isfinite().all()
        base = torch.rand(2, 3, 22, 26)
        x = base[:, :, ::2, ::2].contiguous()
        expected = net(x)
        for same in (base[:, :, ::2, ::2], x.contiguous(memory_format=torch.channels_last), x.mT.clone().mT):
            torch.testing.assert_close(net(same), expected, rtol=0, atol=1e-6)
        for dtype, tolerance in ((torch.float64, 1e-5), (torch.float16, 0.05), (torch.bfloat16, 0.2)):
            y = copy.deepcopy(net).to(dtype)(x.to(dtype))
            assert y.dtype == dtype
            torch.testing.assert_close(y.float(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["SemanIR", "SemanIRUNet", "AST"])
def test_a_number_that_is_not_finite_spoils_no_other_picture(name):
    net, x = make(name), torch.rand(2, 3, 9, 11)
    with torch.no_grad():
        expected = net(x)[1]
        for wrong in (NAN, math.inf, 1e30):
            x[0, 0, 4, 4] = wrong
            torch.testing.assert_close(net(x)[1], expected, rtol=0, atol=1e-6)
