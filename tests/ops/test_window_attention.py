import pytest
import torch

from ir_plugins.ops.memory import Memory
from ir_plugins.ops.window_attention import sparse_window_attention, window_attention

BATCH, WINDOWS, HEADS, TOKENS, DIM = 2, 3, 5, 7, 11
BACKENDS = pytest.mark.parametrize("backend", ["reference", "chunked"])
KINDS = pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])


def leaves(batch=BATCH, windows=WINDOWS, heads=HEADS, tokens=TOKENS, dim=DIM):
    """q, k, v, bias and mix."""
    shapes = [(batch, windows, heads, tokens, dim)] * 3 + [(heads, tokens, tokens), (2,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def random_mask(windows=WINDOWS, tokens=TOKENS):
    """0 or -inf: another set of keys for each query of each window, itself among them."""
    hidden = (torch.rand(windows, 1, tokens, tokens) < 0.5) & ~torch.eye(tokens, dtype=torch.bool)
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)


def attend(is_sparse, tensors, mask, dropout=0.0, backend="auto", memory=None):
    *tensors, mix = tensors
    options = {"backend": backend, "memory": memory}
    if is_sparse:
        return sparse_window_attention(*tensors, mask, mix, dropout, **options)
    return window_attention(*tensors, mask, dropout, **options)


def slow_attention(is_sparse, tensors, mask):
    """Window by window and head by head, one query at a time over the keys that it may see."""
    q, k, v, bias, mix = tensors
    out = torch.zeros_like(q)
    for picture, window, head, query in torch.cartesian_prod(*map(torch.arange, q.shape[:4])).tolist():
        keys = [key for key in range(TOKENS) if mask is None or mask[window, 0, query, key] == 0]
        at = picture, window, head
        logits = torch.stack([q[at][query] @ k[at][key] + bias[head, query, key] for key in keys])
        weight = logits.exp() / logits.exp().sum()
        if is_sparse:
            dense, sparse = mix.exp() / mix.exp().sum()
            weight = dense * weight + sparse * torch.where(logits > 0, logits**2, 0)
        out[at][query] = weight @ v[at][keys]
    return out


@pytest.mark.parametrize("is_masked", [False, True])
@BACKENDS
@KINDS
def test_attention_follows_the_equation_in_outputs_and_gradients(is_sparse, backend, is_masked):
    tensors, mask = leaves(), random_mask() if is_masked else None
    wanted = tensors if is_sparse else tensors[:-1]
    probe = torch.randn_like(tensors[0])
    results = []
    for out in (attend(is_sparse, tensors, mask, backend=backend), slow_attention(is_sparse, tensors, mask)):
        results.append([out, *torch.autograd.grad((out * probe).sum(), wanted)])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@KINDS
def test_gradients_against_finite_differences(is_sparse):
    tensors, mask = leaves(batch=1, windows=2, heads=3, tokens=5, dim=2), random_mask(2, 5)
    wanted = tensors if is_sparse else tensors[:-1]
    assert torch.autograd.gradcheck(lambda *t: attend(is_sparse, [*t, tensors[-1]][:5], mask), wanted)


@BACKENDS
@KINDS
def test_a_masked_key_passes_nothing(is_sparse, backend):
    mask = torch.zeros(WINDOWS, 1, TOKENS, TOKENS)
    mask[1, 0, :3, 3:] = -torch.inf
    tensors = leaves()
    out = attend(is_sparse, tensors, mask, backend=backend)
    gradients = torch.autograd.grad(out[:, 1, :, :3].sum(), tensors[1:3])
    assert all(gradient[:, 1, :, :3].all() and not gradient[:, 1, :, 3:].any() for gradient in gradients)


@BACKENDS
@KINDS
def test_dropout_drops_weights_and_keeps_their_mean(is_sparse, backend):
    q, k, _, bias, mix = leaves(dim=TOKENS)
    tensors = [q, k, torch.eye(TOKENS, dtype=torch.float64).expand_as(q), bias, mix]  # so that out is weights
    weights = attend(is_sparse, tensors, None)
    dropped = attend(is_sparse, tensors, None, dropout=0.25, backend=backend)
    is_kept = dropped != 0
    torch.testing.assert_close(dropped[is_kept], weights[is_kept] / 0.75)
    assert is_kept.double().mean().item() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("autocast", [False, True])
@BACKENDS
@KINDS
def test_logits_of_a_thousand_stay_finite_in_float16(is_sparse, backend, autocast):
    """Their squares are a million, and float16 ends at 65504."""
    q, k = torch.full((1, 1, 1, 3, 4), 25.0), torch.full((1, 1, 1, 3, 4), 10.0)
    v, bias, mix = torch.full((1, 1, 1, 3, 4), 2**-10), torch.zeros(1, 3, 3), torch.zeros(2)
    half = [t.half().requires_grad_() for t in (q, k, v)]
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        out = attend(is_sparse, [*half, bias.half(), mix.half()], None, backend=backend)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), attend(is_sparse, [q, k, v, bias, mix], None), rtol=1e-3, atol=0)
    gradients = torch.autograd.grad(out.float().mean() * 2**-10, half)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@BACKENDS
@KINDS
def test_half_precision_stays_close(is_sparse, backend, dtype):
    *tensors, bias, mix = (t.detach().float() for t in leaves())
    mask = random_mask()
    expected = attend(is_sparse, [*tensors, bias, mix], mask)
    got = attend(is_sparse, [*(t.to(dtype) for t in tensors), bias, mix], mask, backend=backend)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.5)


def test_the_branches_are_mixed_by_a_softmax():
    """Two keys of equal logits 2: softmax gives each 1/2, the squared ReLU 4."""
    q, k, bias = torch.ones(1, 1, 1, 2, 1) * 2, torch.ones(1, 1, 1, 2, 1), torch.zeros(1, 2, 2)
    v = torch.tensor([3.0, 5.0]).view(1, 1, 1, 2, 1)
    out = sparse_window_attention(q, k, v, bias, None, torch.tensor([3.0, 1.0]).log() + 7)
    assert out.flatten().tolist() == pytest.approx([0.75 * 4 + 0.25 * 4 * 8] * 2)


@pytest.mark.parametrize("limit", [1, 2 * 3 * 7**2, 5 * 2 * 3 * 7**2])
@KINDS
def test_chunks_of_windows_answer_like_all_at_once(is_sparse, limit, monkeypatch):
    tensors = [t.detach() for t in leaves(batch=2, windows=11, heads=3, tokens=7, dim=5)]
    mask = random_mask(11, 7)
    whole = attend(is_sparse, tensors, mask, memory=Memory())
    taken, softmax = [], torch.Tensor.softmax
    noting = lambda x, dim: taken.append(x.shape) or softmax(x, dim)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "softmax", noting)
    got = attend(is_sparse, tensors, mask, memory=Memory(windows=limit))
    torch.testing.assert_close(got, whole, rtol=1e-12, atol=1e-12)
    widest = max(shape[1] for shape in taken if len(shape) == 5)
    assert widest == max(1, limit // (2 * 3 * 7**2)) < 11


@KINDS
def test_unknown_backend_is_named(is_sparse):
    with pytest.raises(ValueError, match="'triton' is unknown; choose auto, reference or chunked"):
        attend(is_sparse, leaves(), None, backend="triton")
