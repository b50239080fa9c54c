"""Models, registered by hand: they train, validate and save a net.

May import inference, data, metrics, archs and the rooms below them.
"""

from .image_clean_model import ImageCleanModel
from .restoration_model import RestorationModel
from .schedulers import CosineAnnealingLR, CosineAnnealingRestartCyclicLR

__all__ = ["CosineAnnealingLR", "CosineAnnealingRestartCyclicLR", "ImageCleanModel", "RestorationModel"]
