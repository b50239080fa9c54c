"""Restore pictures with a net, without option files.

May import archs, weights, pictures, ops and runtime.
"""

from .restorer import Restorer

__all__ = ["Restorer"]
