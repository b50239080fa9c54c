"""Datasets, registered by hand, and the tools that make and check what they read."""

from .restormer_datasets import (
    Dataset_DefocusDeblur_DualPixel_16bit,
    Dataset_GaussianDenoising,
    Dataset_PairedImage,
)

__all__ = ["Dataset_DefocusDeblur_DualPixel_16bit", "Dataset_GaussianDenoising", "Dataset_PairedImage"]
