"""SemanIR, AST and Restormer for BasicSR.

Importing this package takes no time and changes one thing: whoever imports `basicsr` from then on gets it
repaired for a modern stack, with all networks, losses, datasets, metrics and models of this package in its
registries.  That import raises UserError where BasicSR is not installed, or hidden by another package of that
name.  The rooms (`ir_plugins.archs`, ...) and the functions below are imported when they are first used.
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
