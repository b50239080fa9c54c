"""How a net restores pictures, without option files.

May import archs, weights, pictures, ops and runtime.
"""

from .restorer import Restorer

__all__ = ["Restorer"]
