"""Datasets, registered by hand, and the tools that make and check what they read."""

from basicsr.utils import img_util

from ..compat import rebind
from .raw import decoding_raw
from .restormer_datasets import (
    Dataset_DefocusDeblur_DualPixel_16bit,
    Dataset_GaussianDenoising,
    Dataset_PairedImage,
)

# a database of raw pixels is read by every dataset, BasicSR's too
rebind(img_util.imfrombytes, decoding_raw(img_util.imfrombytes))

__all__ = ["Dataset_DefocusDeblur_DualPixel_16bit", "Dataset_GaussianDenoising", "Dataset_PairedImage"]
