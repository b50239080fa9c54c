"""Postpone slow imports of basicsr: modules that it imports at once and uses rarely or never.

While basicsr is imported, stand-ins take the places of the slow modules in sys.modules.  For the few names
that basicsr imports from them, they return objects that import the real ones on their first use; any other
name imports the real module.  Afterwards the stand-ins are removed, so the next import finds the real module.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

# each module, and the names that its stand-in has
SLOW = {
    # torchvision <= 0.28 (ops/roi_align.py), 30 % of the time of `import basicsr` with torch 2.13
    "torch._dynamo.utils": ("is_compile_supported",),
    # basicsr 1.4.2 (data/degradations.py), 18 %
    "scipy.stats": ("multivariate_normal",),
    # basicsr 1.4.2 (data/degradations.py, metrics/niqe.py, metrics/fid.py), 5 % together
    "scipy.special": ("gamma",),
    "scipy.linalg": (),
}


def postpone_slow_imports() -> None:
    """`import basicsr` takes twice as long as necessary.

    Concerns basicsr 1.4.2 and torchvision up to 0.28 at least.  If nobody imports the modules in SLOW, or
    they are imported already, this changes nothing.  Delete when neither package imports them at once.
    """
    for name, known in SLOW.items():
        if name not in sys.modules:
            stand_in = StandIn(name, dict.fromkeys(known, name))
            if name.startswith("scipy."):  # another thread may import a submodule meanwhile
                spec = importlib.util.find_spec(name)
                stand_in.__path__ = list(spec.submodule_search_locations or []) if spec else []
            sys.modules[name] = stand_in


def end_postponing() -> None:
    """Remove the stand-ins."""
    for name in SLOW:
        leave(name)


class StandIn(ModuleType):
    """In sys.modules instead of a module that nobody has used yet.

    Args:
        name: The module's name.
        homes: The names that the stand-in has, and the module of each.
    """

    def __init__(self, name: str, homes: dict[str, str]):
        super().__init__(name, "A stand-in for a module that is slow to import.")
        self.__homes = homes

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # what Python itself looks for in any module
            raise AttributeError(attribute)
        if (home := self.__homes.get(attribute)) is not None:
            return Later(home, attribute)
        leave(self.__name__)
        return getattr(importlib.import_module(self.__name__), attribute)


class Later:
    """A function or object that is imported when it is first used."""

    def __init__(self, module: str, name: str):
        self.__module, self.__name = module, name

    def __real(self) -> Any:
        leave(self.__module)
        return getattr(importlib.import_module(self.__module), self.__name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__real()(*arguments, **options)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(self.__real(), attribute)


def leave(name: str) -> None:
    """Remove the stand-in of a module from sys.modules, if there is one."""
    if isinstance(sys.modules.get(name), StandIn):
        del sys.modules[name]
