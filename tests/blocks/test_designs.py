import re

import pytest

from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.blocks.assa import AdaptiveSparseAttention
from ir_plugins.blocks.designs import attentions, feed_forwards
from ir_plugins.blocks.frfn import FeatureRefinement
from ir_plugins.blocks.gdfn import GatedDconvFeedForward
from ir_plugins.blocks.key_semantic import KeySemanticAttention
from ir_plugins.blocks.leff import LocallyEnhanced
from ir_plugins.blocks.mdta import TransposedAttention
from ir_plugins.blocks.mlp import Mlp
from ir_plugins.blocks.window import WindowAttention

# three stages: without attention, with AST's, with Restormer's
OWN = [None, {"type": "assa", "window_size": 5, "mask_padding": False}, {"type": "mdta", "bias": True}]
OWN_FFN = [{"type": "gdfn", "bias": True}, {"type": "mlp", "drop": 0.25}]


def made(given):
    """The attentions of the three stages, or None, in width 6, shifted."""
    makers = attentions(given, OWN)
    return [None if make is None else make(dim=6, num_heads=2, shifted=True) for make in makers]


def made_ffn(given):
    return [make(dim=6, ratio=2.5) for make in feed_forwards(given, OWN_FFN)]


def kinds(modules):
    return [None if module is None else type(module) for module in modules]


def test_nothing_given_is_the_papers():
    _, assa, mdta = attentions = made(None)
    assert kinds(attentions) == [None, AdaptiveSparseAttention, TransposedAttention]
    assert assa.window_size == 5 and not assa.mask_padding and assa.shifted and assa.num_heads == 2
    assert mdta.qkv.bias is not None and mdta.num_heads == 2
    gdfn, mlp = ffns = made_ffn(None)
    assert kinds(ffns) == [GatedDconvFeedForward, Mlp]
    assert gdfn.project_in.bias is not None and gdfn.project_out.in_channels == 15
    assert mlp.drop.p == 0.25 and mlp.fc1.out_features == 15


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_name_is_for_every_stage_that_has_an_attention(name):
    assert kinds(made(name)) == [None, ATTENTIONS[name], ATTENTIONS[name]]
    assert kinds(made({"type": name})) == [None, ATTENTIONS[name], ATTENTIONS[name]]


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_a_name_is_for_every_feed_forward(name):
    assert kinds(made_ffn(name)) == [FEED_FORWARDS[name]] * 2
    assert kinds(made_ffn({"type": name})) == [FEED_FORWARDS[name]] * 2


def test_a_list_gives_every_stage_its_own():
    given = ["window", None, {"type": "key_semantic", "top_k": 3, "window_size": 4}]
    first, second, third = attentions = made(given)
    assert kinds(attentions) == [WindowAttention, AdaptiveSparseAttention, KeySemanticAttention]
    assert first.window_size == 8 and second.window_size == 5 and third.top_k == 3
    assert kinds(made([None, None, None])) == kinds(made(None))
    assert kinds(made(tuple(given))) == kinds(attentions)
    assert kinds(made_ffn(["leff", None])) == [LocallyEnhanced, Mlp]
    assert kinds(made_ffn([None, {"type": "frfn", "ratio": 1.5}])) == [
        GatedDconvFeedForward,
        FeatureRefinement,
    ]


def test_none_switches_attention_off():
    assert made("none") == [None, None, None]
    assert kinds(made(["none", "none", "mdta"])) == [None, None, TransposedAttention]


def test_the_nets_arguments_are_for_its_own_design():
    """AST's window size is not that of another attention, and Restormer's bias is no other design's."""
    _, assa, other = made({"type": "assa", "attn_drop": 0.5})
    assert assa.window_size == 5 and not assa.mask_padding and assa.attn_drop == 0.5
    assert other.window_size == 8 and other.mask_padding and other.attn_drop == 0.5
    _, window, _ = made("window")
    assert window.window_size == 8 and window.mask_padding
    _, assa, mdta = made(["mdta", {"type": "assa", "window_size": 7}, "mdta"])
    assert assa.window_size == 7 and not assa.mask_padding
    assert mdta.qkv.bias is not None and made(["mdta", None, None])[0].qkv.bias is None
    gdfn, _ = made_ffn({"type": "gdfn", "bias": False})
    assert gdfn.project_in.bias is None
    assert [net.project_in.bias is not None for net in made_ffn("gdfn")] == [True, False]


def test_what_is_given_goes_before_what_the_net_says():
    _, assa, _ = made({"type": "assa", "num_heads": 3})
    assert assa.num_heads == 3
    gdfn, _ = made_ffn({"type": "gdfn", "ratio": 1.5})
    assert gdfn.project_out.in_channels == 9


def test_makers_make_a_new_module_each_time():
    given = {"type": "window", "window_size": 7}
    make = attentions(given, OWN)[1]
    first, second = (make(dim=dim, num_heads=2) for dim in (6, 10))
    assert (first.proj.in_features, second.proj.in_features) == (6, 10) and not first.shifted
    assert given == {"type": "window", "window_size": 7} and OWN[1]["window_size"] == 5


@pytest.mark.parametrize(
    "function, given, message",
    [
        (
            attentions,
            "asaa",
            "attention: 'asaa' is unknown (did you mean assa?); choose assa, key_semantic, mdta, window",
        ),
        (attentions, {"type": "xyz"}, "attention: 'xyz' is unknown; choose assa"),
        (feed_forwards, "gdnf", "ffn: 'gdnf' is unknown (did you mean gdfn?); choose frfn, gdfn, leff, mlp"),
        (feed_forwards, "none", "ffn: 'none' is unknown; choose frfn"),
        (attentions, 7, "attention: 7 must be a name or {type: name, ...}; choose assa"),
        (attentions, {"window_size": 7}, "attention: {'window_size': 7} must be a name or {type: name, ...}"),
        (attentions, {"type": 7}, "attention: {'type': 7} must be a name or {type: name, ...}"),
        (attentions, [7, None, None], "attention, stage 1: 7 must be a name or {type: name, ...}"),
        (feed_forwards, [["mlp"], None], "ffn, stage 1: ['mlp'] must be a name or {type: name, ...}"),
        (
            attentions,
            {"type": "assa", "window": 7},
            "attention: assa takes no 'window' (did you mean window_size?); it takes num_heads, window_size",
        ),
        (
            attentions,
            {"type": "mdta", "top_k": 7},
            "attention: mdta takes no 'top_k'; it takes num_heads, bias",
        ),
        (attentions, {"type": "assa", "dim": 6}, "attention: assa takes no 'dim'"),
        (attentions, {"type": "assa", "shifted": True}, "attention: assa takes no 'shifted'"),
        (
            attentions,
            {"type": "mdta", 7: 7},
            "attention: mdta takes no '7'; it takes num_heads, bias, backend",
        ),
        (feed_forwards, {"type": "mlp", "dropp": 0.1}, "ffn: mlp takes no 'dropp' (did you mean drop?)"),
        (
            attentions,
            {"type": "assa", "window_size": "8"},
            "attention: assa: window_size is '8'; expected a whole number",
        ),
        (
            attentions,
            {"type": "assa", "mask_padding": 1},
            "attention: assa: mask_padding is 1; expected true or false",
        ),
        (feed_forwards, {"type": "mlp", "ratio": None}, "ffn: mlp: ratio is None; expected a number"),
        (
            attentions,
            {"type": "mdta", "backend": "fast"},
            "attention: mdta: backend is 'fast'; expected one of auto, reference, folded",
        ),
        (
            attentions,
            ["mdta", "mdta"],
            "attention: 2 designs for 3 stages; give one per stage or one for all",
        ),
        (feed_forwards, [], "ffn: 0 designs for 2 stages; give one per stage or one for all"),
    ],
)
def test_mistakes_are_named_with_the_way_out(function, given, message):
    own = OWN if function is attentions else OWN_FFN
    with pytest.raises(ValueError, match=re.escape(message)):
        function(given, own)


def test_a_window_of_ones_own_is_shifted_again():
    """A net leaves windows unshifted because of their published size."""
    own = [{"type": "assa", "window_size": 8, "shifted": False}]
    (published,) = attentions(None, own)
    (smaller,) = attentions({"type": "assa", "window_size": 4}, own)
    assert not published(dim=4, num_heads=1, shifted=True).shifted
    assert smaller(dim=4, num_heads=1, shifted=True).shifted
