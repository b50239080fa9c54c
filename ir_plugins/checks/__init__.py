"""Check option files against everything that is registered, and write the editors' schema.

May import archs and every room below it.
"""
