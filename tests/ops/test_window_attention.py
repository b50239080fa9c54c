import pytest
import torch

from ir_plugins.ops import window_attention as ops
from ir_plugins.ops.window_attention import sparse_window_attention, window_attention

BATCH, WINDOWS, HEADS, TOKENS, DIM = 2, 3, 5, 7, 11
KINDS = pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])


def leaves(batch=BATCH, windows=WINDOWS, heads=HEADS, tokens=TOKENS, dim=DIM):
    """q, k, v, bias and mix."""
    shapes = [(batch, windows, heads, tokens, dim)] * 3 + [(heads, tokens, tokens), (2,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def random_mask(windows=WINDOWS, tokens=TOKENS):
    """0 or -inf: another set of keys for each query of each window, itself among them."""
    hidden = (torch.rand(windows, 1, tokens, tokens) < 0.5) & ~torch.eye(tokens, dtype=torch.bool)
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)


def attend(is_sparse, tensors, mask, dropout=0.0):
    *tensors, mix = tensors
    if is_sparse:
        return sparse_window_attention(*tensors, mask, mix, dropout)
    return window_attention(*tensors, mask, dropout)


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
@KINDS
def test_attention_follows_the_equation_in_outputs_and_gradients(is_sparse, is_masked):
    tensors, mask = leaves(), random_mask() if is_masked else None
    wanted = tensors if is_sparse else tensors[:-1]
    probe = torch.randn_like(tensors[0])
    results = []
    for out in (attend(is_sparse, tensors, mask), slow_attention(is_sparse, tensors, mask)):
        results.append([out, *torch.autograd.grad((out * probe).sum(), wanted)])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@KINDS
def test_gradients_against_finite_differences(is_sparse):
    tensors, mask = leaves(batch=1, windows=2, heads=3, tokens=5, dim=2), random_mask(2, 5)
    wanted = tensors if is_sparse else tensors[:-1]
    assert torch.autograd.gradcheck(lambda *t: attend(is_sparse, [*t, tensors[-1]][:5], mask), wanted)


@KINDS
def test_a_masked_key_passes_nothing(is_sparse):
    mask = torch.zeros(WINDOWS, 1, TOKENS, TOKENS)
    mask[1, 0, :3, 3:] = -torch.inf
    tensors = leaves()
    out = attend(is_sparse, tensors, mask)
    gradients = torch.autograd.grad(out[:, 1, :, :3].sum(), tensors[1:3])
    assert all(gradient[:, 1, :, :3].all() and not gradient[:, 1, :, 3:].any() for gradient in gradients)


@KINDS
def test_dropout_drops_weights_and_keeps_their_mean(is_sparse):
    q, k, _, bias, mix = leaves(dim=TOKENS)
    tensors = [q, k, torch.eye(TOKENS, dtype=torch.float64).expand_as(q), bias, mix]  # so that out is weights
    weights = attend(is_sparse, tensors, None)
    dropped = attend(is_sparse, tensors, None, dropout=0.25)
    is_kept = dropped != 0
    torch.testing.assert_close(dropped[is_kept], weights[is_kept] / 0.75)
    assert is_kept.double().mean().item() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("autocast", [False, True])
@KINDS
def test_logits_of_a_thousand_stay_finite_in_float16(is_sparse, autocast):
    """Their squares are a million, and float16 ends at 65504."""
    q, k = torch.full((1, 1, 1, 3, 4), 25.0), torch.full((1, 1, 1, 3, 4), 10.0)
    v, bias, mix = torch.full((1, 1, 1, 3, 4), 2**-10), torch.zeros(1, 3, 3), torch.zeros(2)
    half = [t.half().requires_grad_() for t in (q, k, v)]
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        out = attend(is_sparse, [*half, bias.half(), mix.half()], None)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), attend(is_sparse, [q, k, v, bias, mix], None), rtol=1e-3, atol=0)
    gradients = torch.autograd.grad(out.float().mean() * 2**-10, half)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@KINDS
def test_half_precision_stays_close(is_sparse, dtype):
    *tensors, bias, mix = (t.detach().float() for t in leaves())
    mask = random_mask()
    expected = attend(is_sparse, [*tensors, bias, mix], mask)
    got = attend(is_sparse, [*(t.to(dtype) for t in tensors), bias, mix], mask)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.5)


def test_the_branches_are_mixed_by_a_softmax():
    """Two keys of equal logits 2: softmax gives each 1/2, the squared ReLU 4."""
    q, k, bias = torch.ones(1, 1, 1, 2, 1) * 2, torch.ones(1, 1, 1, 2, 1), torch.zeros(1, 2, 2)
    v = torch.tensor([3.0, 5.0]).view(1, 1, 1, 2, 1)
    out = sparse_window_attention(q, k, v, bias, None, torch.tensor([3.0, 1.0]).log() + 7)
    assert out.flatten().tolist() == pytest.approx([0.75 * 4 + 0.25 * 4 * 8] * 2)


@pytest.mark.parametrize("limit", [1, 2 * 3 * 7**2, 5 * 2 * 3 * 7**2])
@pytest.mark.parametrize("attend", [window_attention, sparse_window_attention])
def test_chunks_of_windows_answer_like_all_at_once(attend, limit, monkeypatch):
    q, k, v = torch.randn(3, 2, 11, 3, 7, 5, dtype=torch.float64)
    bias, mask = torch.randn(3, 7, 7, dtype=torch.float64), torch.zeros(11, 1, 7, 7)
    mask[4:, :, :, 2] = -torch.inf
    more = (torch.randn(2, dtype=torch.float64),) if attend is sparse_window_attention else ()
    whole = attend(q, k, v, bias, mask, *more)  # with gradients enabled
    monkeypatch.setattr(ops, "CHUNK_LOGITS", {"cpu": limit})
    with torch.no_grad():
        torch.testing.assert_close(attend(q, k, v, bias, mask, *more), whole, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(attend(q, k, v, bias, None, *more)[:, :4], whole[:, :4])
