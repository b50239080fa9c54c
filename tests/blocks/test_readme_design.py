"""The designs of docs/PLUGINS.md work as they stand there, in every net."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet
from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.commands.list import describe, table

from basicsr.utils.registry import ARCH_REGISTRY

DOCUMENT = Path(__file__).parents[2] / "docs/PLUGINS.md"
NETS = {
    Restormer: {"dim": 8, "num_blocks": [1, 1, 1, 1], "heads": [1, 2, 2, 4], "num_refinement_blocks": 1},
    AST: {"embed_dim": 8, "depths": [1] * 9, "drop_path_rate": 0.0},
    SemanIR: {"embed_dim": 6, "depths": [2], "num_heads": [2], "num_feat": 5, "drop_path_rate": 0.0},
    SemanIRUNet: {"embed_dim": 6, "depths": [1] * 7, "num_heads": [2] * 7, "drop_path_rate": 0.0},
}


@pytest.fixture
def designs(tmp_path, monkeypatch):
    """The module of the document's example; what it registers is taken back."""
    file = tmp_path / "my_design.py"
    file.write_text(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)[0])
    held = [(r, dict(r)) for r in (ATTENTIONS, FEED_FORWARDS, ARCH_REGISTRY._obj_map)]
    spec = importlib.util.spec_from_file_location("my_design", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "my_design", module)
    spec.loader.exec_module(module)
    yield module
    for registry, before in held:
        registry.clear()
        registry.update(before)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_the_documents_designs_work_in_every_net(net, designs):
    built = net(**NETS[net], attention={"type": "row", "bias": False}, ffn="gated_linear")
    for kind in (designs.RowAttention, designs.GatedLinear):
        assert any(isinstance(part, kind) for part in built.modules())
    x = torch.rand(2, 3, 7, 11)
    built(x).square().mean().backward()
    assert not [name for name, p in built.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_documents_net_is_listed_and_builds(designs):
    assert ARCH_REGISTRY.get("MyNet")(upscale=3)(torch.rand(1, 3, 5, 7)).shape == (1, 3, 15, 21)
    assert re.search(r"MyNet +my_design +Two convolutions and a pixel shuffle", table("archs"))
    assert "upscale: int = 2" in describe("archs", "MyNet")


def test_what_a_design_does_not_tell_is_listed_as_missing(monkeypatch):
    monkeypatch.setitem(FEED_FORWARDS, "bare", torch.nn.Identity)
    assert re.search(r"bare +\(no paper\) +\(no complexity\)", table("ffns"))
    assert "(no paper); (no complexity)" in describe("ffns", "bare")
