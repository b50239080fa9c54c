"""From files and LMDBs to arrays and back.

May import runtime.
"""
