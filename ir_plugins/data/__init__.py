"""Datasets, registered by hand, and the tools that prepare and check their pictures.

May import pictures, options and runtime.
"""

from .datasets.bayer import BayerDataset
from .datasets.bicubic import BicubicDataset
from .datasets.jpeg import JPEGDataset
from .datasets.lq import LQDataset
from .datasets.mixed import MixedDataset
from .datasets.noise import GaussianNoiseDataset
from .datasets.paired import DualPixelDataset, PairedDataset
from .datasets.restormer import (
    Dataset_DefocusDeblur_DualPixel_16bit,
    Dataset_GaussianDenoising,
    Dataset_PairedImage,
)

__all__ = [
    "BayerDataset",
    "BicubicDataset",
    "Dataset_DefocusDeblur_DualPixel_16bit",
    "Dataset_GaussianDenoising",
    "Dataset_PairedImage",
    "DualPixelDataset",
    "GaussianNoiseDataset",
    "JPEGDataset",
    "LQDataset",
    "MixedDataset",
    "PairedDataset",
]
