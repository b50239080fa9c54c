"""Attention and feed-forward designs, by the names that option files use."""

from .assa import AdaptiveSparseAttention
from .frfn import FeatureRefinement
from .gdfn import GatedDconvFeedForward
from .key_semantic import KeySemanticAttention
from .leff import LocallyEnhanced
from .mdta import TransposedAttention
from .mlp import Mlp
from .window import WindowAttention

ATTENTIONS = {
    "mdta": TransposedAttention,
    "assa": AdaptiveSparseAttention,
    "key_semantic": KeySemanticAttention,
    "window": WindowAttention,
}
FEED_FORWARDS = {
    "gdfn": GatedDconvFeedForward,
    "frfn": FeatureRefinement,
    "leff": LocallyEnhanced,
    "mlp": Mlp,
}
