"""The README's example of a new design works as it stands there."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet
from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.commands.list import describe, table

README = Path(__file__).parent.parent.parent / "README.md"
NETS = {
    Restormer: {"dim": 8, "num_blocks": [1, 1, 1, 1], "heads": [1, 2, 2, 4], "num_refinement_blocks": 1},
    AST: {"embed_dim": 8, "depths": [1] * 9, "drop_path_rate": 0.0},
    SemanIR: {"embed_dim": 6, "depths": [2], "num_heads": [2], "num_feat": 5, "drop_path_rate": 0.0},
    SemanIRUNet: {"embed_dim": 6, "depths": [1] * 7, "num_heads": [2] * 7, "drop_path_rate": 0.0},
}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_the_readmes_design_works_in_every_net(net, tmp_path, monkeypatch):
    file = tmp_path / "row.py"
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    file.write_text("\n\n".join(block for block in blocks if "class " in block))
    spec = importlib.util.spec_from_file_location("row", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(ATTENTIONS, "row", module.RowAttention)
    monkeypatch.setitem(FEED_FORWARDS, "gated_linear", module.GatedLinear)
    built = net(**NETS[net], attention={"type": "row", "bias": False}, ffn="gated_linear")
    for kind in (module.RowAttention, module.GatedLinear):
        assert any(isinstance(part, kind) for part in built.modules())
    x = torch.rand(2, 3, 7, 11)
    built(x).square().mean().backward()
    assert not [name for name, p in built.named_parameters() if p.grad is None or not p.grad.any()]


def test_what_a_design_does_not_tell_is_listed_as_missing(monkeypatch):
    monkeypatch.setitem(FEED_FORWARDS, "bare", torch.nn.Identity)
    assert re.search(r"bare +\(no paper\) +\(no complexity\)", table("ffns"))
    assert "(no paper); (no complexity)" in describe("ffns", "bare")
