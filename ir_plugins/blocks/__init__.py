"""Attention and feed-forward designs, registered by hand: this list is the table of contents.

May import ops, options and runtime.
"""

from .assa import AdaptiveSparseAttention
from .frfn import FeatureRefinement
from .gdfn import GatedDconvFeedForward
from .key_semantic import KeySemanticAttention
from .leff import LocallyEnhanced
from .mdta import TransposedAttention
from .mlp import Mlp
from .registry import ATTENTIONS, FEED_FORWARDS, register_attention, register_ffn
from .window import WindowAttention

__all__ = [
    "ATTENTIONS",
    "FEED_FORWARDS",
    "AdaptiveSparseAttention",
    "FeatureRefinement",
    "GatedDconvFeedForward",
    "KeySemanticAttention",
    "LocallyEnhanced",
    "Mlp",
    "TransposedAttention",
    "WindowAttention",
    "register_attention",
    "register_ffn",
]
