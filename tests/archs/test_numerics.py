"""What holds for every net: half precision, memory formats, checkpointing, batches."""

import pytest
import torch

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet
from ir_plugins.blocks import attention

RESTORMER = {"dim": 6, "num_blocks": [1, 2, 1, 2], "num_refinement_blocks": 1, "heads": [1, 2, 3, 4]}
AST_ = {"embed_dim": 4, "depths": [1, 1, 1, 1, 2, 2, 1, 1, 2], "num_heads": [1] * 4 + [16, 8, 4, 2, 2]}
NETS = {
    "Restormer": lambda: Restormer(**RESTORMER),
    "Restormer_bias_free": lambda: Restormer(**RESTORMER, LayerNorm_type="BiasFree", bias=True),
    "AST_frfn": lambda: AST(**AST_, token_mlp="frfn"),
    "AST_leff": lambda: AST(**AST_, token_mlp="leff"),
    "SemanIR": lambda: SemanIR(
        embed_dim=6, depths=[2, 3], num_heads=[2, 3], window_size=5, top_k=7, num_feat=7
    ),
    "SemanIRUNet": lambda: SemanIRUNet(
        embed_dim=6, depths=[1, 2, 1, 2, 1, 1, 1], num_heads=[1, 2, 3, 4, 3, 2, 1], window_size=5, top_k=7
    ),
}
PICTURES = {
    "zeros": lambda *shape: torch.zeros(shape),
    "half": lambda *shape: torch.full(shape, 0.5),
    "large": lambda *shape: torch.full(shape, 1e3),
    "large_noise": lambda *shape: 1e3 * torch.randn(shape),
}
every_net = pytest.mark.parametrize("name", NETS)


def build(name):
    torch.manual_seed(0)
    return NETS[name]()


def step(net, x):
    """Output and gradients; what chance decides in training is always decided alike."""
    torch.manual_seed(1)
    y = net(x)
    return [y, *torch.autograd.grad(y.square().mean(), list(net.parameters()))]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@every_net
def test_half_precision_is_finite_forward_and_backward(name, dtype, picture):
    net, x = build(name), PICTURES[picture](1, 3, 37, 50)
    with torch.autocast("cpu", dtype):
        y = net(x)
    y.float().abs().mean().backward()
    assert y.isfinite().all()
    broken = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not broken, f"no finite gradient for {broken}"


@pytest.mark.parametrize("dtype, near", [(torch.bfloat16, 1e-2), (torch.float16, 1e-3)], ids=["bf16", "fp16"])
@every_net
def test_half_precision_is_near_full_precision(name, dtype, near):
    net, x = build(name).eval(), torch.rand(1, 3, 37, 50)
    if hasattr(net, "top_k"):
        net.top_k = 25  # all keys of a window: rounding may change the choice of fewer
    with torch.no_grad():
        full = net(x)
        with torch.autocast("cpu", dtype):
            half = net(x)
    assert (half - full).norm() / full.norm() < near


@every_net
def test_a_net_on_the_meta_device_costs_nothing(name):
    with torch.device("meta"):
        net = build(name)
    assert all(t.is_meta for t in (*net.parameters(), *net.buffers()))
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert shapes == {key: value.shape for key, value in build(name).state_dict().items()}


@every_net
def test_checkpointing_changes_no_gradient(name, monkeypatch):
    x, original, blocks = torch.rand(2, 3, 17, 23), attention.checkpoint, []
    monkeypatch.setattr(
        attention, "checkpoint", lambda block, *a, **k: blocks.append(block) or original(block, *a, **k)
    )
    net = build(name)
    kept = step(net, x)
    assert not blocks
    for module in net.modules():
        if hasattr(module, "use_checkpoint"):
            module.use_checkpoint = True
    again = step(net, x)
    assert set(blocks) == {m for m in net.modules() if hasattr(m, "attn")} and len(set(blocks)) == len(blocks)
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))
    blocks.clear()
    with torch.no_grad():
        net(x)
    assert not blocks


@every_net
def test_memory_formats_change_nothing(name):
    net, x = build(name), torch.rand(2, 3, 17, 23)
    contiguous = step(net, x)
    for weights in (torch.contiguous_format, torch.channels_last):
        net = net.to(memory_format=weights)
        transposed, cut = x.mT.contiguous().mT, torch.cat([x, x], -1)[..., :23]
        for y in (x.contiguous(memory_format=torch.channels_last), transposed, cut):
            torch.testing.assert_close(step(net, y), contiguous, rtol=1e-4, atol=1e-6)


@every_net
def test_pictures_of_a_batch_do_not_mix(name):
    net, x = build(name).double().eval(), torch.rand(3, 3, 13, 17, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-7, atol=1e-9)


@every_net
def test_it_is_deterministic(name):
    net, x = build(name), torch.rand(2, 3, 17, 23)
    first, second = step(net, x), step(build(name), x)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with torch.no_grad():
        assert torch.equal(net.eval()(x), net(x))


@every_net
def test_a_copy_through_the_state_dict_answers_alike(name, tmp_path):
    net, x = build(name).eval(), torch.rand(1, 3, 17, 23)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    copy = NETS[name]().eval()
    copy.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    with torch.no_grad():
        assert torch.equal(copy(x), net(x))


@every_net
def test_the_input_is_left_alone(name):
    net, x = build(name), torch.rand(1, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    net(x)
    assert torch.equal(x, before)
