"""SemanIR, AST and Restormer for BasicSR.

Importing this package is quick and changes one thing: the next `import basicsr` repairs BasicSR for a modern
stack and registers all networks, losses, datasets, metrics and models of this package.  That import raises
UserError if BasicSR is not installed, or if another package of that name hides it.  The rooms
(`ir_plugins.archs`, ...) and the functions below are imported when they are first used.
"""

import importlib
from typing import Any

from .runtime import plugins
from .runtime.importing import around_import

_REGISTERING = ("archs", "data", "losses", "metrics", "models")
_PUBLIC = {
    "Attention": "blocks.attention",
    "Declares": "archs.declaration",
    "load_plugins": "runtime.plugins",
    "register_attention": "blocks.registry",
    "register_ffn": "blocks.registry",
}
__all__ = [*_REGISTERING, *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _REGISTERING:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _make_importable() -> None:
    from . import compat

    compat.before_import()


def _mend_and_register() -> None:
    from . import compat

    compat.after_import()
    for room in _REGISTERING:
        importlib.import_module(f"{__name__}.{room}")


around_import(
    "basicsr",
    _make_importable,
    _mend_and_register,
    host=__name__,
    light=("__main__", "cli", "commands", "pictures", "runtime"),
)
plugins.make_files_importable()
