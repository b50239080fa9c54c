import pytest
import slow
import torch

from ir_plugins.ops.feed_forward import feature_refinement, gated_dconv
from ir_plugins.ops.feed_forward.chunked import gelu_gate
from ir_plugins.ops.memory import Memory

BATCH, DIM, HIDDEN, SIZE = 2, 11, 13, (5, 7)
FORMATS = [torch.contiguous_format, torch.channels_last]
SHAPES = {
    gated_dconv: [(2 * HIDDEN, DIM, 1, 1), (2 * HIDDEN, 1, 3, 3), (DIM, HIDDEN, 1, 1)],
    feature_refinement: [(2 * HIDDEN, DIM), (HIDDEN, 1, 3, 3), (DIM, HIDDEN)],
}
DESIGNS = pytest.mark.parametrize("design", SHAPES, ids=lambda design: design.__name__)


def leaves(design, bias=True, memory_format=torch.channels_last, dtype=torch.float64):
    """The picture, weight and bias of three layers, the convolution of a quarter of the channels."""
    layers = [
        t
        for shape in SHAPES[design]
        for t in (torch.randn(shape) / 2, torch.randn(shape[0]) if bias else None)
    ]
    partial = [torch.randn(DIM // 4, DIM // 4, 3, 3) / 2] if design is feature_refinement else []
    x = torch.randn(BATCH, DIM, *SIZE).contiguous(memory_format=memory_format)
    return [None if t is None else t.to(dtype).requires_grad_() for t in (x, *layers, *partial)]


def feed(design, tensors, backend, memory=None):
    x, *tensors = tensors
    layers = zip(tensors[:6:2], tensors[1:6:2], strict=True)
    return design(x, *tensors[6:], *layers, backend=backend, memory=memory)


def slow_feed(design, tensors):
    """The equations, with convolutions written out."""
    x, w1, b1, w2, b2, w3, b3, *partial = tensors
    if design is gated_dconv:
        a, b = slow.depthwise(slow.pointwise(x, w1, b1), w2, b2).chunk(2, dim=1)
        return slow.pointwise(slow.gelu(a) * b, w3, b3)
    quarter = torch.nn.functional.conv2d(x[:, : DIM // 4], partial[0], padding=1)
    a, b = slow.gelu(slow.pointwise(torch.cat([quarter, x[:, DIM // 4 :]], dim=1), w1, b1)).chunk(2, dim=1)
    return slow.pointwise(slow.gelu(slow.depthwise(a, w2, b2)) * b, w3, b3)


def outputs_and_gradients(out, tensors):
    probe = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    return [out, *torch.autograd.grad((out * probe).sum(), [t for t in tensors if t is not None])]


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("bias", [False, True])
@DESIGNS
def test_backends_follow_the_equation_in_outputs_and_gradients(design, bias, memory_format):
    tensors = leaves(design, bias, memory_format)
    expected = outputs_and_gradients(slow_feed(design, tensors), tensors)
    for backend in ("reference", "chunked"):
        got = outputs_and_gradients(feed(design, tensors, backend), tensors)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("step, eager", [(1, True), (3, True), (3, False), (HIDDEN, True)])
@DESIGNS
def test_chunks_change_neither_the_output_nor_the_input(design, step, bias, memory_format, eager):
    memory = Memory(channels=1, least_channels=step, overwrite=True, eager=eager)
    tensors = leaves(design, bias, memory_format)
    before = [None if t is None else t.detach().clone() for t in tensors]
    with torch.no_grad():
        got = feed(design, tensors, "chunked", memory)
    torch.testing.assert_close(got, slow_feed(design, tensors).detach(), rtol=1e-9, atol=1e-9)
    assert all(a is b or torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


@pytest.mark.parametrize("activate_gate", [False, True])
def test_gelu_gate_against_finite_differences(activate_gate):
    x, gate = torch.randn(2, 2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    expected = slow.gelu(x) * (slow.gelu(gate) if activate_gate else gate)
    torch.testing.assert_close(gelu_gate(x, gate, activate_gate=activate_gate), expected)
    function = lambda x, gate: gelu_gate(x, gate, activate_gate=activate_gate)  # noqa: E731
    assert torch.autograd.gradcheck(function, (x, gate))
    with torch.no_grad():
        overwritten = x.clone()
        got = gelu_gate(overwritten, gate.clone(), activate_gate=activate_gate, overwrite=True)
    torch.testing.assert_close(got, expected)
    assert got.data_ptr() == overwritten.data_ptr()


def kept_for_backward(function, given):
    """How many numbers a function keeps for the backward pass, beside those given."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = function()
    own = {t.untyped_storage().data_ptr() for t in given if t is not None}
    return sum(storage.nbytes() for at, storage in kept.items() if at not in own) // out.element_size()


@pytest.mark.parametrize("activate_gate", [False, True])
def test_gelu_gate_keeps_nothing_but_its_inputs(activate_gate):
    x, gate = (torch.randn(3, 5, requires_grad=True) for _ in range(2))
    assert kept_for_backward(lambda: gelu_gate(x, gate, activate_gate=activate_gate), [x, gate]) == 0


@DESIGNS
def test_what_is_kept_for_the_backward_pass(design):
    """Of h channels: what the depthwise convolutions and GELUs read, and the product of the gate."""
    tensors = leaves(design)
    reference, chunked = (
        kept_for_backward(lambda backend=backend: feed(design, tensors, backend), tensors)
        for backend in ("reference", "chunked")
    )
    convolved = DIM // 4 if design is feature_refinement else 0
    assert chunked == BATCH * SIZE[0] * SIZE[1] * (5 * HIDDEN + convolved) < reference


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
@DESIGNS
def test_mixed_precision_stays_close(design, grad, dtype):
    """Also where the picture itself comes in float32, as from a norm."""
    memory = None if grad else Memory(channels=1, least_channels=3, overwrite=True)
    tensors = leaves(design, dtype=torch.float32)
    with torch.set_grad_enabled(grad):
        expected = feed(design, tensors, "reference")
        with torch.autocast("cpu", dtype):
            got = feed(design, tensors, "chunked", memory)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.5)


@DESIGNS
def test_unknown_backend_is_named(design):
    with pytest.raises(ValueError, match="'triton' is unknown; choose auto, reference or chunked"):
        feed(design, leaves(design), "triton")
