"""The datasets, one kind in each file; base.py and degraded.py hold what they share."""
