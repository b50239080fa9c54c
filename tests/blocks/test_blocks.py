import pytest
import torch

from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS, KeySemanticAttention

DIM, HEADS = 6, 2


def shared(net, x, top_k=9):
    """What the blocks of a stage share, with few keys of a window unless a test wants all."""
    return net.share(x, top_k) if isinstance(net, KeySemanticAttention) else net.share(x)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_gives_every_parameter_a_gradient(name):
    net = ATTENTIONS[name](dim=DIM, num_heads=HEADS)
    x = torch.rand(2, DIM, 7, 11)
    out = net(x, shared(net, x))
    out.square().sum().backward()
    assert out.shape == x.shape
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_every_feed_forward_keeps_the_shape(name):
    x = torch.rand(2, DIM, 7, 11)
    assert FEED_FORWARDS[name](dim=DIM, ratio=2.0)(x).shape == x.shape


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_every_feed_forward_gives_every_parameter_a_gradient(name):
    net = FEED_FORWARDS[name](dim=DIM, ratio=2.0)
    net(torch.rand(2, DIM, 7, 11)).square().sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("size", [(1, 1), (1, 13), (8, 16), (17, 3)])
@pytest.mark.parametrize("name", [*ATTENTIONS, *FEED_FORWARDS])
def test_every_design_takes_any_size_with_and_without_gradients(name, size):
    """And gives the same, in channels-last memory or not."""
    x = torch.rand(2, DIM, *size, dtype=torch.float64)
    if name in ATTENTIONS:
        net = ATTENTIONS[name](dim=DIM, num_heads=HEADS).double()
        call = lambda x: net(x, shared(net, x))  # noqa: E731
    else:
        call = FEED_FORWARDS[name](dim=DIM).double()
    expected, before = call(x), x.clone()
    with torch.no_grad():
        torch.testing.assert_close(call(x), expected.detach())
        torch.testing.assert_close(call(x.contiguous(memory_format=torch.channels_last)), expected.detach())
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", [*ATTENTIONS, *FEED_FORWARDS])
def test_every_design_runs_in_mixed_precision(name, grad, dtype):
    """Its input in float32, as a norm hands it on."""
    x = torch.rand(2, DIM, 7, 11, requires_grad=True)
    torch.manual_seed(0)
    net = ATTENTIONS[name](dim=DIM, num_heads=HEADS) if name in ATTENTIONS else FEED_FORWARDS[name](dim=DIM)
    with torch.set_grad_enabled(grad):
        given = [shared(net, x, top_k=78)] if name in ATTENTIONS else []
        expected = net(x, *given)
        with torch.autocast("cpu", dtype):
            got = net(x, *given)
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.02)
    if grad:
        got.float().square().sum().backward()
        assert x.grad.isfinite().all() and x.grad.any()
