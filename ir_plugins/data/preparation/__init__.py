"""Prepare data sets: presets.py lists the sets, the other files make them."""
