"""Losses, registered by hand: this list is the table of contents.

May import weights, options and runtime.
"""

from .edge import EdgeLoss
from .fourier import FFTLoss
from .perceptual import VGGPerceptualLoss
from .pixel import CharbonnierEps2Loss, PSNRLoss
from .ssim import MSSSIMLoss, SSIMLoss

__all__ = [
    "CharbonnierEps2Loss",
    "EdgeLoss",
    "FFTLoss",
    "MSSSIMLoss",
    "PSNRLoss",
    "SSIMLoss",
    "VGGPerceptualLoss",
]
