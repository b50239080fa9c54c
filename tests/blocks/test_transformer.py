import pytest
import torch
import torch.nn.functional as F

from ir_plugins.blocks.mdta import TransposedAttention
from ir_plugins.blocks.mlp import Mlp
from ir_plugins.blocks.transformer import TransformerBlock

DIM, RATIO = 6, 2.5
SIZES = {"dim": DIM, "num_heads": 2, "ratio": RATIO}


def attention(dim, num_heads, shifted):
    assert shifted
    return TransposedAttention(dim=dim, num_heads=num_heads)


def block(norm="pre", drop_path=0.0, attention=attention):
    net = TransformerBlock(
        **SIZES, shifted=True, drop_path=drop_path, attention=attention, ffn=Mlp, norm=norm
    ).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    return net


def normed(layer, x):
    return F.layer_norm(x.permute(0, 2, 3, 1), (DIM,), layer.weight, layer.bias).permute(0, 3, 1, 2)


@pytest.mark.parametrize("has_attention", [False, True])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_norms_come_before_or_after_each_branch(norm, has_attention):
    net = block(norm, attention=attention if has_attention else None)
    x = expected = torch.randn(2, DIM, 7, 11, dtype=torch.float64)
    branches = [(net.norm1, net.attn), (net.norm2, net.mlp)][0 if has_attention else 1 :]
    for layer, branch in branches:
        add = branch(normed(layer, expected)) if norm == "pre" else normed(layer, branch(expected))
        expected = expected + add
    torch.testing.assert_close(net(x, None), expected, rtol=1e-9, atol=1e-9)
    assert net.mlp.fc1.out_features == 15


def test_a_block_without_attention_has_no_parameters_of_one():
    net = block(attention=None)
    assert net.attn is None and {name.split(".")[0] for name, _ in net.named_parameters()} == {"norm2", "mlp"}


def test_drop_path_skips_both_branches():
    net, x = block(drop_path=1 - 1e-9), torch.randn(2, DIM, 7, 11, dtype=torch.float64)
    assert torch.equal(net(x, None), x)
    assert not torch.equal(net.eval()(x, None), x)
