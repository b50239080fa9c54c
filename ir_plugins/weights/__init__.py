"""Weight files: how they are read, written, recognised and turned into networks.

May import runtime.
"""

from .files import check_fits, read_network, read_weights, save_weights
from .loading import load_network

__all__ = ["check_fits", "load_network", "read_network", "read_weights", "save_weights"]
