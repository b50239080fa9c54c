"""Picture files and LMDBs become arrays, and arrays become files.

May import runtime.
"""
