import pytest
import slow
import torch

from ir_plugins.blocks.mdta import TransposedAttention

DIM, HEADS = 6, 3


def attention(**options):
    net = TransposedAttention(dim=DIM, num_heads=HEADS, **options).double()
    torch.nn.init.normal_(net.temperature, mean=2)
    return net


def slow_attention(net, x):
    """Section 3.1 of the paper with torch's own modules, head by head."""
    q, k, v = (
        slow.depthwise(net.qkv(x), net.qkv_dwconv.weight, net.qkv_dwconv.bias).flatten(2).chunk(3, dim=1)
    )
    out = []
    for head in range(HEADS):
        own = slice(head * DIM // HEADS, (head + 1) * DIM // HEADS)
        cosine = torch.nn.CosineSimilarity(dim=-1)(q[:, own, None], k[:, None, own])
        out.append((cosine * net.temperature[head, 0, 0]).softmax(-1) @ v[:, own])
    return net.project_out(torch.cat(out, dim=1).unflatten(2, x.shape[2:]))


@pytest.mark.parametrize("backend", ["auto", "reference", "folded"])
@pytest.mark.parametrize("bias", [False, True])
def test_attention_across_channels(bias, backend):
    net = attention(bias=bias, backend=backend)
    assert all((layer.bias is not None) == bias for layer in (net.qkv, net.qkv_dwconv, net.project_out))
    x = torch.randn(2, DIM, 7, 11, dtype=torch.float64, requires_grad=True)
    leaves = [x, *net.parameters()]
    results = [
        [out, *torch.autograd.grad(out.square().sum(), leaves)] for out in (net(x), slow_attention(net, x))
    ]
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_a_head_never_sees_the_channels_of_another():
    net = attention()
    with torch.no_grad():
        net.qkv.weight.copy_(torch.eye(DIM).repeat(3, 1)[..., None, None])
        net.project_out.weight.copy_(torch.eye(DIM)[..., None, None])
    x = torch.randn(1, DIM, 7, 11, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[:, 2:4].square().sum(), x)  # of the second head
    assert [channel.any().item() for channel in gradient[0]] == [False, False, True, True, False, False]


def test_blocks_share_nothing():
    net = attention()
    assert net.share(torch.rand(1, DIM, 7, 11)) is None and net.shifted is False


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="num_heads=4 does not divide the 6 channels"):
        TransposedAttention(dim=6, num_heads=4)
