"""Nets as graphs: compiled, exported, and run in onnxruntime at sizes they were not traced with.

Tracing takes seconds per block, so the default run traces nets that have each design, and the stage that it
changes most in, once; the slow one traces them as published.
"""

import functools

import pytest
import torch
from torch.export import Dim

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet

RESTORMER = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1, 1, 2, 2]}
# the bottom has 2 x 3 pixels when traced: a window and less than one
AST_ = {"embed_dim": 4, "depths": [1] * 4 + [2] + [1] * 4, "num_heads": [1] * 9, "win_size": 3}
UNET = {"embed_dim": 4, "window_size": 5, "top_k": 7, "num_heads": [1] * 6 + [2]}
MDTA = {"attention": ["mdta"] + ["none"] * 7, "ffn": ["mlp"] * 7 + ["gdfn"]}
QUICK = {
    "Restormer": lambda: Restormer(**RESTORMER, **MDTA),
    "Restormer_bias_free": lambda: Restormer(**RESTORMER, **MDTA, LayerNorm_type="BiasFree", bias=True),
    "AST": lambda: AST(
        **AST_,
        attention=["none"] * 4 + ["assa"] + ["none"] * 4,
        ffn=["leff"] + ["mlp"] * 7 + ["frfn"],
    ),
    "SemanIR": lambda: SemanIR(embed_dim=6, depths=[2], num_heads=[2], window_size=5, top_k=7, num_feat=5),
    "SemanIRUNet": lambda: SemanIRUNet(**UNET, depths=[1] * 6 + [2], attention=["none"] * 6 + [None]),
}
PUBLISHED = {
    "Restormer": lambda: Restormer(**RESTORMER),
    "Restormer_bias_free": lambda: Restormer(**RESTORMER, LayerNorm_type="BiasFree", bias=True),
    "AST_frfn": lambda: AST(**AST_, token_mlp="frfn"),
    "AST_leff": lambda: AST(**AST_, token_mlp="leff"),
    "SemanIRUNet": lambda: SemanIRUNet(**UNET, depths=[1] * 6 + [2]),
}
NETS = QUICK | {f"{name}_as_published": make for name, make in PUBLISHED.items()}
SIDES = {2: Dim("height", min=17), 3: Dim("width", min=17)}
OTHER_SIZES = [(17, 23), (61, 40), (48, 96)]  # in the last nothing is to be filled up


def names(*beginnings, slow="published"):
    """Of nets, those that contain `slow` for the slow run."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if slow in name or "published" in name else [])
        for name in NETS
        if name.startswith(beginnings)
    ]


def compiled_cases():
    """Every net with and without gradients; the default run takes one of both, in turn."""
    return [
        pytest.param(
            name,
            grad,
            id=f"{name}-{'training' if grad else 'inference'}",
            marks=[pytest.mark.slow] if "published" in name or grad == bool(turn % 2) else [],
        )
        for turn, name in enumerate(NETS)
        for grad in (False, True)
    ]


@functools.cache
def build(name):
    torch.manual_seed(0)
    return NETS[name]().eval()


@functools.cache
def exported(name):
    with torch.no_grad():
        return torch.export.export(
            build(name),
            (torch.rand(1, 3, 19, 37),),
            dynamic_shapes=(SIDES,),
            prefer_deferred_runtime_asserts_over_guards=True,
        )


@pytest.mark.parametrize("name, grad", compiled_cases())
def test_compiled_in_one_graph_it_equals_eager(name, grad):
    torch.compiler.reset()
    net, x = build(name), torch.rand(1, 3, 17, 23)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    with torch.set_grad_enabled(grad):
        for run in (net, compiled):
            y = run(x)
            gradients = torch.autograd.grad(y.square().mean(), list(net.parameters())) if grad else []
            results.append([y, *gradients])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", names("Restormer", "AST", slow="bias_free"))
def test_exported_it_equals_eager_at_other_sizes(name):
    net, program = build(name), exported(name).module()
    for size in OTHER_SIZES:
        x = torch.rand(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(program(x), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [*names("Restormer", slow="bias_free"), *names("AST", slow="AST")],  # its export runs in any case
)
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch 2.13's own
def test_onnxruntime_equals_eager_at_other_sizes(name):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    options = {"dynamo": True, "opset_version": 18, "input_names": ["x"], "verbose": False}
    if "published" in name:  # as the README tells
        x = torch.rand(1, 3, 19, 37)
        onnx = torch.onnx.export(build(name), (x,), dynamic_shapes=(SIDES,), **options)
    else:  # the same, without exporting once more
        onnx = torch.onnx.export(exported(name), **options)
    session = runtime.InferenceSession(
        onnx.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for size in OTHER_SIZES:
        x = torch.rand(1, 3, *size)
        y = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        with torch.no_grad():
            expected = build(name)(x)
        assert y.shape == expected.shape and (y - expected).norm() / expected.norm() < 1e-4


@pytest.mark.slow
def test_export_while_weights_want_gradients():
    """As the README tells: without no_grad, and with the paper's feed-forward."""
    net = AST(embed_dim=4, depths=[1] * 9, num_heads=[1] * 9, token_mlp="frfn").eval()
    sizes = {2: torch.export.Dim("height", min=17), 3: torch.export.Dim("width", min=17)}
    deferred = {"prefer_deferred_runtime_asserts_over_guards": True}
    exported = torch.export.export(net, (torch.rand(1, 3, 37, 41),), dynamic_shapes=(sizes,), **deferred)
    x = torch.rand(1, 3, 23, 53)
    torch.testing.assert_close(exported.module()(x), net(x))
