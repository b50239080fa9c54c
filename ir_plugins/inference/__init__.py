"""How a net restores a picture, without option files.

May import archs, weights, pictures, ops and runtime.
"""
