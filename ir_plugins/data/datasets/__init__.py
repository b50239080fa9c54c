"""The datasets, one kind a file; what they share is in base.py and degraded.py."""
