"""The language of option files: how they are read, what keys and signatures take, what is wrong.

May import runtime.
"""
