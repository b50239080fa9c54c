import pytest
import torch
import torch.nn.functional as F

from ir_plugins.blocks.key_semantic import KeySemanticAttention

DIM, HEADS, WINDOW = 6, 2, 5


def attention(**options):
    torch.manual_seed(0)
    net = KeySemanticAttention(dim=DIM, num_heads=HEADS, window_size=WINDOW, **options).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


def neighbours(size, shifted):
    """For each pixel of an H x W picture, the pixels of its window, told by geometry alone."""

    def cell(position, length):
        if length <= WINDOW:
            return 0
        shift = WINDOW // 2 if shifted else 0
        return (position - shift) // WINDOW  # pixels before the first shifted window form a cell of their own

    cells = [
        (cell(row, size[0]), cell(column, size[1])) for row in range(size[0]) for column in range(size[1])
    ]
    return [[other for other, c in enumerate(cells) if c == own] for own in cells]


def slow_attention(net, x, keys_of):
    """Cosine attention of pixel after pixel over the given keys, from the formulas of Swin V2 and SemanIR."""
    _, _, h, w = x.shape
    tokens = x[0].flatten(1).T
    q, k, v = F.linear(tokens, net.qkv.weight, net.qkv.bias).view(h * w, 3, HEADS, -1).unbind(1)
    out = torch.zeros_like(q)
    for query, keys in enumerate(keys_of):
        for head in range(HEADS):
            logits = []
            for key in keys:
                offset = (
                    torch.tensor([query // w - key // w, query % w - key % w], dtype=x.dtype)
                    * 8
                    / (WINDOW - 1)
                )
                offset = offset.sign() * (offset.abs() + 1).log2() / 3
                bias = 16 * net.position_bias.fc2(F.relu(net.position_bias.fc1(offset))).sigmoid()[head]
                cosine = F.cosine_similarity(q[query, head], k[key, head], dim=0)
                logits.append(cosine * min(net.logit_scale[head].exp().item(), 100) + bias)
            out[query, head] = torch.stack(logits).softmax(0) @ v[keys, head]
    return net.proj(out.flatten(1)).T.view(1, DIM, h, w)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(5, 5), (7, 11), (3, 13)])
def test_keeping_every_key_is_dense_window_attention(size, shifted):
    net = attention(shifted=shifted)
    x = torch.randn(1, DIM, *size, dtype=torch.float64)
    with torch.no_grad():
        got = net(x, net.share(x, WINDOW**2))
        torch.testing.assert_close(
            got, slow_attention(net, x, neighbours(size, shifted)), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("shifted", [False, True])
def test_each_pixel_attends_to_the_most_similar_of_its_window(shifted):
    size, top_k = (7, 11), 3
    net = attention(shifted=shifted)
    entering, x = torch.randn(2, 1, DIM, *size, dtype=torch.float64)
    similarity = entering[0].flatten(1).T @ entering[0].flatten(1)
    kept = [
        sorted(keys, key=lambda key: -similarity[query, key])[:top_k]
        for query, keys in enumerate(neighbours(size, shifted))
    ]
    with torch.no_grad():
        got = net(x, net.share(entering, top_k))
        torch.testing.assert_close(got, slow_attention(net, x, kept), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("pixel", [(0, 0), (4, 6), (6, 10), (5, 1), (2, 7)])
def test_a_pixel_moves_only_its_own_window(pixel, shifted):
    """No key crosses the border of a window, of a shift region or of the picture."""
    size = (7, 11)
    net = attention(shifted=shifted)
    x = torch.randn(1, DIM, *size, dtype=torch.float64)
    moved = x.clone()
    moved[0, :, pixel[0], pixel[1]] += 1
    with torch.no_grad():
        difference = (net(moved, net.share(moved, 9)) - net(x, net.share(x, 9))).abs().amax(1).flatten()
    own = neighbours(size, shifted)[pixel[0] * size[1] + pixel[1]]
    assert difference.nonzero()[:, 0].tolist()
    assert set(difference.nonzero()[:, 0].tolist()) <= set(own)


@pytest.mark.parametrize("backend", ["gather", "softmax"])
@pytest.mark.parametrize("shifted", [False, True])
def test_backends_agree_inside_the_block(backend, shifted):
    x = torch.randn(2, DIM, 7, 11, dtype=torch.float64)
    results = []
    for name in ("auto", backend):
        net = attention(shifted=shifted, backend=name)
        inside = x.clone().requires_grad_()
        out = net(inside, net.share(inside, 9))
        results.append([out, *torch.autograd.grad(out.square().sum(), [inside, *net.parameters()])])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_the_dictionary_passes_no_gradient_to_the_tokens_it_is_built_from():
    net = attention()
    entering = torch.randn(1, DIM, 7, 11, dtype=torch.float64, requires_grad=True)
    net(torch.randn_like(entering), net.share(entering, 9)).sum().backward()
    assert entering.grad is None


def test_dot_logits_are_divided_by_the_root_of_the_head_dim():
    net = attention(logits="dot")
    assert net.logit_scale is None
    x = torch.randn(1, DIM, 1, 2, dtype=torch.float64)
    out = net(x, net.share(x, WINDOW**2))
    q, k, v = net.qkv(x[0, :, 0].T).view(2, 3, HEADS, 3).unbind(1)
    bias = net.position_bias((1, 2))
    weight = (torch.einsum("qnd,knd->nqk", q, k) / 3**0.5 + bias).softmax(-1)
    expected = net.proj(torch.einsum("nqk,knd->qnd", weight, v).flatten(1))
    torch.testing.assert_close(out[0, :, 0].T, expected)
