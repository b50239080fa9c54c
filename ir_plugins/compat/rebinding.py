"""Replace a function that others have imported by name."""

import sys
from typing import Any


def rebind(original: Any, replacement: Any) -> None:
    """Replace an object in every loaded module of basicsr and of this package.

    Args:
        original: The object.
        replacement: What takes its place, under the same names.
    """
    names = [name for name in sys.modules if name.partition(".")[0] in ("basicsr", "ir_plugins")]
    for module in map(sys.modules.__getitem__, names):
        for name in [name for name, value in vars(module).items() if value is original]:
            setattr(module, name, replacement)
