"""Models, registered by hand: training and validation behaviour."""

from .restoration_model import RestorationModel

__all__ = ["RestorationModel"]
