import importlib.util
import sys

import pytest
import torch
from torch import nn

from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS, register_attention, register_ffn
from ir_plugins.blocks.attention import Attention, run_blocks, shared_by_design
from ir_plugins.blocks.designs import attentions


@pytest.fixture(autouse=True)
def empty_again(monkeypatch):
    """What a test registers is gone afterwards."""
    for registry in (ATTENTIONS, FEED_FORWARDS):
        for name in ("row", "gate"):
            monkeypatch.setitem(registry, name, None)
            del registry[name]


class Row(Attention):
    def forward(self, x, shared=None):
        return x


class Gate(nn.Module):
    def __init__(self, *, dim, ratio=2.0, slope=0.1):
        super().__init__()

    def forward(self, x):
        return x


def attention(base=nn.Module, **methods):
    """A class with these methods, made from dim and num_heads unless they say otherwise."""

    def init(self, *, dim, num_heads):
        nn.Module.__init__(self)

    def forward(self, x, shared):
        return x

    return type("Design", (base,), {"__init__": init, "forward": forward} | methods)


def test_a_decorated_class_is_found_by_its_name():
    assert register_attention("row")(Row) is Row and ATTENTIONS["row"] is Row
    assert register_ffn("gate")(Gate) is Gate and FEED_FORWARDS["gate"] is Gate
    assert "gate" not in ATTENTIONS


@pytest.mark.parametrize("registry", [ATTENTIONS, FEED_FORWARDS])
def test_our_own_designs_pass_the_same_checks(registry):
    register = register_attention if registry is ATTENTIONS else register_ffn
    for name, design in list(registry.items()):
        assert register(name)(design) is design
        assert isinstance(design.paper, str) and isinstance(design.complexity, str)


def test_a_design_needs_no_base_class():
    """Nor share, nor shifted."""
    register_attention("row")(attention())
    (make,) = attentions("row", [{"type": "mdta"}])
    made = make(dim=6, num_heads=2, shifted=True)
    block = nn.Module()
    block.attn, block.forward = made, lambda x, shared: made(x, shared) + (shared is None)
    x = torch.zeros(1, 6, 3, 5)
    assert torch.equal(run_blocks([block, block], x), x + 2)


def test_share_as_it_was_documented_before_still_works():
    class Asking(Row):
        def share(self, x, top_k=None):
            return x.shape, top_k

    register_attention("row")(Asking)
    assert shared_by_design(Asking(dim=6, num_heads=2), torch.zeros(1, 6, 3, 5)) == ((1, 6, 3, 5), None)


def test_a_file_that_is_imported_twice_registers_once_more(tmp_path, monkeypatch):
    file = tmp_path / "mine.py"
    file.write_text(
        "from ir_plugins.blocks.attention import Attention\n"
        "from ir_plugins.blocks import register_attention\n"
        "@register_attention('row')\n"
        "class Mine(Attention):\n"
        "    def forward(self, x, shared):\n"
        "        return x\n"
    )
    for name in ("mine", "again"):
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        assert ATTENTIONS["row"].__module__ == name


@pytest.mark.parametrize("name", ["", "two words", "3d", "none", "a-b", 7])
def test_a_name_must_be_a_word(name):
    with pytest.raises(ValueError, match=r"must be a word of letters, digits and _, and not none"):
        register_ffn(name)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(
        ValueError, match=r"^attention 'mdta': the name is taken by ir_plugins\..*choose another$"
    ):
        register_attention("mdta")(Row)
    assert ATTENTIONS["mdta"] is not Row


@pytest.mark.parametrize(
    "design, message",
    [
        (7, "7 must be a class that derives from torch.nn.Module"),
        (dict, "must be a class that derives from torch.nn.Module"),
        (
            nn.Identity,
            "Identity must take dim and num_heads by keyword; add dim and num_heads to its __init__",
        ),
        (
            attention(__init__=lambda self, dim: None),
            "Design must take num_heads by keyword; add num_heads to its __init__",
        ),
        (
            attention(__init__=lambda self, dim, num_heads, /: None),
            "Design must take dim and num_heads by keyword",
        ),
        (
            attention(__init__=lambda self, *, dim, num_heads, window, shifted: None),
            "Design needs window, which no net gives it; add a default",
        ),
        (attention(forward=nn.Module.forward), "Design has no forward"),
        (
            attention(forward=lambda self, x: x),
            r"Design.forward must be callable as forward\(self, x, shared\)",
        ),
        (
            attention(share=lambda self, x, top_k: x),
            r"Design.share must be callable as share\(self, x\)",
        ),
    ],
)
def test_an_attention_that_no_net_could_use_is_refused_in_one_line(design, message):
    with pytest.raises(ValueError, match=f"^attention 'row': .*{message}") as refused:
        register_attention("row")(design)
    assert "\n" not in str(refused.value) and "row" not in ATTENTIONS


@pytest.mark.parametrize(
    "methods, message",
    [
        ({}, "Design must take ratio by keyword"),
        (
            {"__init__": lambda self, *, dim, ratio: None},
            r"Design.forward must be callable as forward\(self, x\)",
        ),
    ],
)
def test_a_feed_forward_that_no_net_could_use_is_refused(methods, message):
    with pytest.raises(ValueError, match=f"^ffn 'gate': {message}"):
        register_ffn("gate")(attention(**methods))
    assert "gate" not in FEED_FORWARDS
