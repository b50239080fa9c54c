"""Attention and feed-forward designs, by the names that option files use."""

from .key_semantic import KeySemanticAttention
from .mlp import Mlp

ATTENTIONS = {"key_semantic": KeySemanticAttention}
FEED_FORWARDS = {"mlp": Mlp}
