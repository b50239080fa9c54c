import pytest
import slow
import torch

from ir_plugins.ops import convolution
from ir_plugins.ops.channel_attention import channel_attention
from ir_plugins.ops.memory import Memory

BATCH, HEAD_DIM, SIZE = 2, 5, (7, 11)
BACKENDS = ["reference", "folded"]


def leaves(heads, bias, dtype=torch.float64):
    """The picture, then weight and bias of three layers, then the temperature."""
    dim = HEAD_DIM * heads
    x = torch.randn(BATCH, dim, *SIZE).contiguous(memory_format=torch.channels_last)
    shapes = [(3 * dim, dim, 1, 1), (3 * dim, 1, 3, 3), (dim, dim, 1, 1)]
    layers = [
        t for shape in shapes for t in (torch.randn(shape) / 2, torch.randn(shape[0]) if bias else None)
    ]
    made = [x, *layers, torch.rand(heads, 1, 1).add(0.5) * 3]
    return [None if t is None else t.to(dtype).requires_grad_() for t in made]


def attend(tensors, backend, memory=None):
    x, *layers, temperature = tensors
    qkv, qkv_dwconv, project_out = zip(layers[::2], layers[1::2], strict=True)
    return channel_attention(x, qkv, qkv_dwconv, temperature, project_out, backend=backend, memory=memory)


def outputs_and_gradients(tensors, function):
    out = function(tensors)
    probe = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    return [out, *torch.autograd.grad((out * probe).sum(), [t for t in tensors if t is not None])]


def slow_attention(tensors):
    """Picture by picture and head by head, one pair of channels at a time."""
    x, qkv, qkv_bias, dwconv, dwconv_bias, project, project_bias, temperature = tensors
    q, k, v = slow.depthwise(slow.pointwise(x, qkv, qkv_bias), dwconv, dwconv_bias).flatten(2).chunk(3, dim=1)
    pictures = []
    for picture in range(BATCH):
        rows = []
        for channel in range(x.shape[1]):
            head = channel // HEAD_DIM
            others = range(head * HEAD_DIM, (head + 1) * HEAD_DIM)
            own = q[picture, channel]
            cosines = [own @ k[picture, c] / (own.norm() * k[picture, c].norm()) for c in others]
            weight = (torch.stack(cosines) * temperature[head, 0, 0]).exp()
            rows.append(weight / weight.sum() @ v[picture, others])
        pictures.append(torch.stack(rows))
    return slow.pointwise(torch.stack(pictures).unflatten(2, SIZE), project, project_bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 3, 4])
def test_backends_follow_the_equation_in_outputs_and_gradients(heads, bias):
    tensors = leaves(heads, bias)
    expected = outputs_and_gradients(tensors, slow_attention)
    for backend in BACKENDS:
        got = outputs_and_gradients(tensors, lambda t, backend=backend: attend(t, backend))
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("heads", [1, 3])
def test_chunks_that_cut_heads_change_nothing(heads, step, memory_format, monkeypatch):
    tensors = [t.detach() for t in leaves(heads, bias=True)]
    expected = attend(tensors, "reference")
    widest = []
    made = convolution.F.conv2d
    monkeypatch.setattr(
        convolution.F, "conv2d", lambda x, *a, **k: widest.append(x.shape[1]) or made(x, *a, **k)
    )
    tensors[0] = tensors[0].contiguous(memory_format=memory_format)
    with torch.no_grad():
        got = attend(tensors, "folded", Memory(channels=1, least_channels=step))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert max(widest) == min(step, HEAD_DIM * heads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_black_picture_gives_no_nan(backend, dtype):
    tensors = leaves(3, bias=False, dtype=dtype)
    tensors[0] = torch.zeros_like(tensors[0], requires_grad=True)
    out, *gradients = outputs_and_gradients(tensors, lambda t: attend(t, backend))
    assert out.dtype == dtype and not out.any()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_dead_channel_gives_no_nan(dtype):
    tensors = leaves(2, bias=False, dtype=dtype)
    with torch.no_grad():
        tensors[1][[3, 2 * HEAD_DIM + 4]] = 0  # of q, of k
    out = attend(tensors, "folded")
    assert out.isfinite().all()
    gradients = torch.autograd.grad(out.float().mean(), [t for t in tensors if t is not None])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_stays_close(backend, dtype):
    """Brightness is no matter either: in float16 the sums of squares overflow."""
    tensors = [t.detach() for t in leaves(3, bias=True, dtype=torch.float32)]
    tensors[0] = tensors[0] * 64
    expected = attend(tensors, "reference")
    got = attend([t.to(dtype) for t in tensors], backend)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float() / 64, expected / 64, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_mixed_precision_stays_close(grad, dtype):
    memory = None if grad else Memory(channels=1, least_channels=2, overwrite=True)
    tensors = leaves(2, bias=True, dtype=torch.float32)
    with torch.set_grad_enabled(grad):
        expected = attend(tensors, "reference")
        with torch.autocast("cpu", dtype):
            got = attend(tensors, "folded", memory)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.05)


def test_unknown_backend_is_named():
    with pytest.raises(ValueError, match="'triton' is unknown; choose auto, reference or folded"):
        attend(leaves(1, bias=False), "triton")
