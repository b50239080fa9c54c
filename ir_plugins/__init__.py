"""SemanIR, AST and Restormer for BasicSR.

Importing this package repairs BasicSR on a modern stack and registers everything here into BasicSR's
registries.
"""

from . import compat

compat.repair()

from . import archs, models  # noqa: E402  (their modules import basicsr, which needs the repairs)

__all__ = ["archs", "models"]
