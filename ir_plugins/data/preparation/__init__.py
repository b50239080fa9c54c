"""Preparation of data sets: presets.py is the table of what there is, the other files are how it is done."""
