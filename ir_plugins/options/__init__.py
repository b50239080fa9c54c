"""Option files: how they are read, which values keys and arguments take, how problems are reported.

May import runtime.
"""
