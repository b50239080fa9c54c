# ruff: noqa  (as others write it)
# as BasicSR's own plugins are laid out: importing the package scans its folders
from .archs import *
