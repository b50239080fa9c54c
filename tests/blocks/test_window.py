import pytest
import torch
import torch.nn.functional as F

from ir_plugins.blocks.assa import AdaptiveSparseAttention
from ir_plugins.blocks.window import WindowAttention

DIM, HEADS, WINDOW = 6, 2, 5
KINDS = pytest.mark.parametrize("kind", [WindowAttention, AdaptiveSparseAttention])


def attention(kind, **options):
    torch.manual_seed(0)
    net = kind(dim=DIM, num_heads=HEADS, window_size=WINDOW, **options).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


def attend(net, x):
    return net(x, net.share(x))


def picture(*size):
    return torch.randn(1, DIM, *size, dtype=torch.float64)


def cell(row, column, shifted):
    """The cell of a pixel on a ruler of WINDOW pixels, shifted by half of one."""
    shift = WINDOW // 2 if shifted else 0
    return (row - shift) // WINDOW, (column - shift) // WINDOW


def slow_attention(net, x, shifted, mask_padding, scale):
    """Pixel after pixel and head by head over the keys of its cell, the zeros around the picture among them
    unless they are masked.
    """
    h, w = x.shape[2:]
    padded = F.pad(x[0], (0, -w % WINDOW, 0, -h % WINDOW))
    q, k, v = net.qkv(padded.permute(1, 2, 0))  # each (H, W, C)
    q, k, v = (t.unflatten(-1, (HEADS, -1)) for t in (q, k, v))
    height, width = (h, w) if mask_padding else padded.shape[1:]
    rows = []
    for a, b in torch.cartesian_prod(torch.arange(h), torch.arange(w)).tolist():
        keys = [
            (c, d) for c in range(height) for d in range(width) if cell(c, d, shifted) == cell(a, b, shifted)
        ]
        at = tuple(torch.tensor(keys).T)
        offsets = [(a - c + WINDOW - 1) * (2 * WINDOW - 1) + b - d + WINDOW - 1 for c, d in keys]
        logits = scale * (k[at] * q[a, b]).sum(-1) + net.relative_position_bias_table[offsets]
        weight = logits.exp() / logits.exp().sum(0)  # (keys, heads)
        if isinstance(net, AdaptiveSparseAttention):
            dense, sparse = net.w.exp() / net.w.exp().sum()
            weight = dense * weight + sparse * torch.where(logits > 0, logits**2, 0)
        rows.append((weight[..., None] * v[at]).sum(0).flatten())
    return net.proj(torch.stack(rows)).T.unflatten(1, (h, w))[None]


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(10, 5), (7, 11), (3, 13)])
@KINDS
def test_each_pixel_attends_to_its_window(kind, size, shifted, mask_padding):
    net = attention(kind, shifted=shifted, mask_padding=mask_padding)
    x = picture(*size).requires_grad_()
    leaves = [x, *net.parameters()]
    results = []
    for out in (attend(net, x), slow_attention(net, x, shifted, mask_padding, (DIM // HEADS) ** -0.5)):
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@KINDS
def test_qk_scale_replaces_the_root_of_the_head_dim(kind):
    net, x = attention(kind, qk_scale=1.7), picture(5, 5)
    with torch.no_grad():
        torch.testing.assert_close(attend(net, x), slow_attention(net, x, False, True, 1.7))


@KINDS
def test_the_projections_do_without_biases(kind):
    net, x = attention(kind, qkv_bias=False), picture(3, 4)
    assert net.qkv.to_q.bias is None and net.qkv.to_kv.bias is None
    with torch.no_grad():
        torch.testing.assert_close(attend(net, x), slow_attention(net, x, False, True, 3**-0.5))


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("pixel", [(0, 0), (4, 6), (6, 10), (5, 1), (2, 7)])
@KINDS
def test_a_pixel_moves_all_of_its_own_window_and_nothing_else(kind, pixel, shifted):
    """Least of all the pixels that a shift wraps to its side."""
    net, x = attention(kind, shifted=shifted), picture(7, 11)
    moved = x.clone()
    moved[0, :, pixel[0], pixel[1]] += 1
    with torch.no_grad():
        difference = (attend(net, moved) - attend(net, x)).abs().amax(1)[0] > 1e-9
    expected = [[cell(a, b, shifted) == cell(*pixel, shifted) for b in range(11)] for a in range(7)]
    assert difference.tolist() == expected


@pytest.mark.parametrize("shifted", [False, True])
def test_masked_padding_moves_no_pixel(shifted):
    """Where all pixels are alike, so are all outputs; unmasked, windows with zeros differ."""
    flat = torch.ones(1, DIM, 7, 11, dtype=torch.float64)
    for mask_padding in (True, False):
        net = attention(WindowAttention, shifted=shifted, mask_padding=mask_padding)
        spread = attend(net, flat).flatten(2).std(-1).max().item()
        assert (spread < 1e-9) == mask_padding


def test_the_batch_shares_one_mask():
    net, x = attention(WindowAttention, shifted=True), torch.randn(3, DIM, 7, 11, dtype=torch.float64)
    shared = net.share(x)
    assert shared.mask.shape == (6, 1, 25, 25)
    with torch.no_grad():
        alone = torch.cat([attend(net, one) for one in x.split(1)])
        torch.testing.assert_close(net(x, shared), alone)


@KINDS
def test_dropout_is_for_training(kind):
    x = picture(7, 11)
    plain = attend(attention(kind), x)
    no_attention = attention(kind, attn_drop=1 - 1e-12)
    bias = no_attention.proj.bias[:, None, None].expand(DIM, 7, 11)[None]
    torch.testing.assert_close(attend(no_attention, x), bias)
    torch.testing.assert_close(attend(no_attention.eval(), x), plain)
    no_output = attention(kind, proj_drop=1 - 1e-12)
    assert not attend(no_output, x).any()
    torch.testing.assert_close(attend(no_output.eval(), x), plain)
    assert torch.equal(attend(attention(kind), x), plain)


def test_names_and_shapes_are_those_of_the_released_weights():
    net = AdaptiveSparseAttention(dim=32, num_heads=2, window_size=8)
    assert {name: tuple(t.shape) for name, t in net.state_dict().items()} == {
        "relative_position_bias_table": (225, 2),
        "w": (2,),
        "relative_position_index": (64, 64),
        "qkv.to_q.weight": (32, 32),
        "qkv.to_q.bias": (32,),
        "qkv.to_kv.weight": (64, 32),
        "qkv.to_kv.bias": (64,),
        "proj.weight": (32, 32),
        "proj.bias": (32,),
    }
    assert net.w.tolist() == [1, 1] and net.relative_position_index.dtype == torch.int64
    assert "w" not in WindowAttention(dim=32, num_heads=2).state_dict()


@KINDS
def test_wrong_sizes_are_named(kind):
    with pytest.raises(ValueError, match="window_size=0 must be at least 1 pixel"):
        kind(dim=6, num_heads=2, window_size=0)
    with pytest.raises(ValueError, match="num_heads=4 does not divide the 6 channels"):
        kind(dim=6, num_heads=4)
