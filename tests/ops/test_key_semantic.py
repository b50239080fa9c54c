import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ir_plugins.ops.key_semantic import build_dictionary, key_semantic_attention
from ir_plugins.ops.memory import Memory

WINDOWS, HEADS, TOKENS, DIM = 5, 3, 23, 7


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(WINDOWS, HEADS, TOKENS, DIM)] * 3 + [(HEADS, TOKENS, TOKENS)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def dictionary(top_k=11, labels=None, memory=None):
    tokens = torch.randn(WINDOWS, TOKENS, 13, generator=torch.Generator().manual_seed(1))
    return build_dictionary(tokens, top_k, labels, memory=memory)


def slow_dictionary(tokens, top_k):
    """The k largest inner products of each row, one row at a time, in float64."""
    kept = torch.zeros(*tokens.shape[:2], tokens.shape[1], dtype=torch.bool)
    for window, rows in enumerate(tokens.double()):
        for query, row in enumerate(rows):
            similarity = [float(row @ other) for other in rows]
            order = sorted(range(len(rows)), key=lambda key: -similarity[key])
            kept[window, query, order[:top_k]] = True
    return kept


def test_dictionary_keeps_the_most_similar_tokens():
    tokens = torch.randn(WINDOWS, TOKENS, 13, generator=torch.Generator().manual_seed(1))
    assert torch.equal(build_dictionary(tokens, 5), slow_dictionary(tokens, 5))


def test_cosine_similarity_ignores_length():
    tokens = torch.randn(2, TOKENS, 13)
    scaled = tokens * torch.rand(2, TOKENS, 1).add(0.5)
    assert torch.equal(
        build_dictionary(tokens, 5, similarity="cosine"), build_dictionary(scaled, 5, similarity="cosine")
    )
    assert not torch.equal(build_dictionary(tokens, 5), build_dictionary(scaled, 5))


@pytest.mark.parametrize("top_k", [1, 4, TOKENS - 1])
def test_exactly_k_keys_even_where_all_are_equal(top_k):
    assert (build_dictionary(torch.ones(2, TOKENS, 3), top_k).sum(-1) == top_k).all()


def test_keeping_every_key_needs_no_dictionary():
    assert build_dictionary(torch.rand(2, TOKENS, 3), TOKENS) is None


@pytest.mark.parametrize("top_k", [2, 11, TOKENS])
def test_invalid_neighbours_are_never_kept(top_k):
    labels = (torch.arange(TOKENS) > 16).int().expand(WINDOWS, -1)  # regions of 17 and 6 tokens
    kept = dictionary(top_k, labels)
    same = labels[:, :, None] == labels[:, None]
    assert not (kept & ~same).any()
    assert torch.equal(kept.sum(-1), same.sum(-1).clamp(max=top_k))


def test_labels_repeat_over_the_pictures_of_a_batch():
    labels = torch.stack([torch.zeros(TOKENS), (torch.arange(TOKENS) > 9).float()])
    tokens = torch.rand(2 * 2, TOKENS, 3)
    kept = build_dictionary(tokens, TOKENS, labels)
    assert kept[0].all() and kept[2].all()
    assert not kept[1, 0, 10] and not kept[3, 10, 0]


@pytest.mark.parametrize("limit", [1, 2 * TOKENS**2])
def test_dictionary_is_the_same_in_chunks(limit):
    labels = torch.arange(TOKENS).remainder(2).expand(WINDOWS, -1)
    whole = dictionary(labels=labels, memory=Memory())
    assert torch.equal(dictionary(labels=labels, memory=Memory(neighbours=limit)), whole)


def test_dictionary_carries_no_gradient():
    tokens = torch.rand(2, TOKENS, 3, requires_grad=True)
    assert not build_dictionary(tokens, 5).requires_grad


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("chunk", [1, 2 * HEADS * TOKENS**2, None])
@pytest.mark.parametrize("backend", ["softmax", "sdpa", "auto"])
@pytest.mark.parametrize("kept", ["top_k", "few_valid", "all"])
def test_backends_agree_in_outputs_and_gradients(backend, kept, chunk, eager):
    """Against "gather", the reference that reads like the paper."""
    memory = Memory(neighbours=chunk, eager=eager)
    labels = (torch.arange(TOKENS) > 16).int().expand(WINDOWS, -1)
    mask = {"top_k": dictionary(), "few_valid": dictionary(labels=labels), "all": None}[kept]
    probe = torch.randn(WINDOWS, HEADS, TOKENS, DIM, dtype=torch.float64)
    results = {}
    for name in ("gather", backend):
        leaves = inputs()
        out = key_semantic_attention(*leaves, mask, backend=name, memory=memory)
        results[name] = [out, *torch.autograd.grad((out * probe).sum(), leaves)]
    for reference, fast in zip(results["gather"], results[backend], strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-10, atol=1e-10)


def test_reference_is_softmax_over_the_kept_keys():
    q, k, v, bias = (t.detach() for t in inputs())
    mask = dictionary()
    out = key_semantic_attention(q, k, v, bias, mask, backend="gather")
    keys = mask[3, 17].nonzero()[:, 0]
    weight = (k[3, 1, keys] @ q[3, 1, 17] + bias[1, 17, keys]).exp()
    torch.testing.assert_close(out[3, 1, 17], (weight / weight.sum()) @ v[3, 1, keys])


def test_gradients_against_finite_differences():
    memory = Memory(neighbours=2 * 2 * 25)
    leaves = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in [(3, 2, 5, 3)] * 3 + [(2, 5, 5)]
    ]
    mask = build_dictionary(torch.randn(3, 5, 2), 3)
    assert torch.autograd.gradcheck(lambda *t: key_semantic_attention(*t, mask, memory=memory), leaves)


@pytest.mark.parametrize("backend", ["gather", "softmax", "sdpa"])
def test_half_precision_stays_close(backend):
    leaves = [t.detach() for t in inputs(torch.float32)]
    expected = key_semantic_attention(*leaves, dictionary(), backend="gather")
    got = key_semantic_attention(*(t.bfloat16() for t in leaves), dictionary(), backend=backend)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.05)


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        made = result if isinstance(result, tuple | list) else [result]
        self.numel = max([self.numel, *(t.numel() for t in made if isinstance(t, torch.Tensor))])
        return result


def test_memory_is_bounded_by_the_chunk():
    """However many windows: no tensor is larger than a chunk of logits or what the caller holds anyway."""
    chunk, windows = 2 * HEADS * TOKENS**2, 24
    memory = Memory(neighbours=chunk)
    leaves = [torch.randn(windows, HEADS, TOKENS, DIM, requires_grad=True) for _ in range(3)]
    bias = torch.randn(HEADS, TOKENS, TOKENS, requires_grad=True)
    mask = build_dictionary(torch.randn(windows, TOKENS, 3), 11)
    allowed = max(chunk // TOKENS * 24, windows * HEADS * TOKENS * 8)  # rows are filled up to multiples of 8
    for backend, bounded in (("sdpa", True), ("softmax", False), ("gather", False)):
        with Largest() as largest:
            out = key_semantic_attention(*leaves, bias, mask, backend=backend, memory=memory)
            torch.autograd.grad(out.sum(), [*leaves, bias])
        assert (largest.numel <= allowed) == bounded, (backend, largest.numel)


def test_unknown_backend_is_named():
    with pytest.raises(ValueError, match="'triton' is unknown; choose auto"):
        key_semantic_attention(*inputs(), None, backend="triton")
