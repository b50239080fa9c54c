"""Metrics, registered by hand: this list is the table of contents.

Which published table used which: docs/METRICS.md.  May import options and runtime.
"""

from .alignment import psnr_aligned, ssim_aligned
from .blocking import psnr_b
from .perceptual import dists, lpips
from .pixels import mae, psnr
from .similarity import ssim

__all__ = ["dists", "lpips", "mae", "psnr", "psnr_aligned", "psnr_b", "ssim", "ssim_aligned"]
