"""A training run: its checks, its data, its states, its loop.

May import reports, checks, models and every room below them.
"""
