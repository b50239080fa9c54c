"""Weight files: read them, write them, recognise their network and build it.

May import runtime.
"""

from .files import check_fits, read_network, read_weights, save_weights
from .loading import load_network

__all__ = ["check_fits", "load_network", "read_network", "read_weights", "save_weights"]
