"""Pure tensor functions, each with a reference that reads like the paper's equation.

Imports no other room.
"""
