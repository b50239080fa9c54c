"""Weight files: read, written, recognised.

May import runtime.
"""
