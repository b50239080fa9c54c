import copy

import pytest
import torch
from torch import nn

from ir_plugins.blocks.attention import Attention, run_blocks
from ir_plugins.blocks.key_semantic import KeySemanticAttention
from ir_plugins.blocks.mlp import Mlp
from ir_plugins.blocks.window import WindowAttention

DIM = 6


class Recorder(Attention):
    """Notes what it is asked to share."""

    def __init__(self, shifted, asked):
        super().__init__(dim=1, num_heads=1, shifted=shifted)
        self.asked = asked

    def share(self, x):
        self.asked.append(x)
        return f"shared by {'shifted' if self.shifted else 'straight'}"


class Noting(nn.Module):
    """A block that adds 1 and notes what it is given."""

    def __init__(self, attn):
        super().__init__()
        self.attn, self.given = attn, []

    def forward(self, x, shared):
        self.given.append(shared)
        return x + 1


class Block(nn.Module):
    """A real one, which counts how often it runs."""

    def __init__(self, attn):
        super().__init__()
        self.attn, self.ffn, self.runs = attn, Mlp(dim=DIM, drop=0.25), 0

    def forward(self, x, shared):
        self.runs += 1
        if self.attn is not None:
            x = x + self.attn(x, shared)
        return x + self.ffn(x)


def test_blocks_of_the_same_shift_share_once():
    asked, x = [], torch.zeros(1)
    blocks = [Noting(Recorder(shifted, asked)) for shifted in (False, True, False, True)]
    assert run_blocks(blocks, x).item() == 4
    assert len(asked) == 2 and all(entering is x for entering in asked)
    straight, shifted = ["shared by straight"], ["shared by shifted"]
    assert [block.given for block in blocks] == [straight, shifted, straight, shifted]


def test_blocks_without_attention_share_nothing():
    asked = []
    blocks = [Noting(None), Noting(Recorder(True, asked)), Noting(None)]
    assert run_blocks(blocks, torch.zeros(1)).item() == 3
    assert [block.given for block in blocks] == [[None], ["shared by shifted"], [None]]
    assert asked == [torch.zeros(1)]  # the stage's input, not the block's
    assert run_blocks([], torch.ones(1)).item() == 1


def stage():
    heads = {"dim": DIM, "num_heads": 2, "window_size": 5}
    attentions = [
        WindowAttention(**heads, attn_drop=0.25),
        KeySemanticAttention(**heads, shifted=True),
        None,
    ]
    return nn.ModuleList(Block(attn) for attn in attentions).double()


def test_checkpoints_change_neither_outputs_nor_gradients():
    """Dropout included: what is computed again draws the same numbers."""
    plain = stage()
    saving = copy.deepcopy(plain)
    x = torch.randn(2, DIM, 7, 11, dtype=torch.float64)
    results = []
    for blocks, use_checkpoint in ((plain, False), (saving, True)):
        torch.manual_seed(1)
        inside = x.clone().requires_grad_()
        out = run_blocks(blocks, inside, use_checkpoint=use_checkpoint)
        gradients = torch.autograd.grad(out.square().sum(), [inside, *blocks.parameters()])
        results.append([out, *gradients])
    for expected, got in zip(*results, strict=True):
        assert torch.equal(got, expected)
    assert [block.runs for block in plain] == [1, 1, 1]
    assert [block.runs for block in saving] == [2, 2, 2]


def test_checkpoints_keep_no_activations():
    x, blocks = torch.randn(2, DIM, 7, 11, dtype=torch.float64), stage()
    kept = {}
    for use_checkpoint in (False, True):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, saved=saved: saved.append(t) or t, lambda t: t
        ):
            run_blocks(blocks, x, use_checkpoint=use_checkpoint)
        kept[use_checkpoint] = sum(t.numel() for t in saved)
    assert kept[True] < kept[False] / 10


def test_nothing_is_computed_again_without_gradients():
    blocks = stage()
    with torch.no_grad():
        run_blocks(blocks, torch.randn(1, DIM, 7, 11, dtype=torch.float64), use_checkpoint=True)
    assert [block.runs for block in blocks] == [1, 1, 1]


@pytest.mark.parametrize("num_heads", [0, -2, 4])
def test_heads_must_divide_the_channels(num_heads):
    with pytest.raises(
        ValueError, match=f"num_heads={num_heads} does not divide the 6 channels of its stage"
    ):
        Attention(dim=6, num_heads=num_heads)
