"""Whether an option file is sound, judged against what is registered.

May import archs and every room below it.
"""
