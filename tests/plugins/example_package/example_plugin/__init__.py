"""One thing of each kind that a plugin can bring: importing this package registers them."""

from . import data, designs, measures, nets

__all__ = ["data", "designs", "measures", "nets"]
