"""SemanIR, AST and Restormer for BasicSR.

Importing this package repairs BasicSR on a modern stack and registers everything here into BasicSR's
registries. Raises UserError where BasicSR is not installed, or hidden by another package of that name.
"""

import sys
from pathlib import Path

from . import compat
from .runtime.errors import UserError

try:
    compat.repair()
except UserError as error:
    if Path(sys.argv[0]).stem not in ("basicsr", "-m"):
        raise
    # on the command line nobody stands above this import who could print one line
    sys.exit(f"basicsr: error: {error}")

from . import archs, data, losses, metrics, models

__all__ = ["archs", "data", "losses", "metrics", "models"]
