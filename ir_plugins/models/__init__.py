"""Models, registered by hand: training and validation behaviour."""

from .image_clean_model import ImageCleanModel
from .restoration_model import RestorationModel
from .schedulers import CosineAnnealingLR, CosineAnnealingRestartCyclicLR

__all__ = ["CosineAnnealingLR", "CosineAnnealingRestartCyclicLR", "ImageCleanModel", "RestorationModel"]
