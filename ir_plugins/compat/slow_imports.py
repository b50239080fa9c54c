"""What basicsr imports at once and uses rarely or never: it is imported when it is used.

While basicsr is imported, stand-ins take the places of the slow modules in sys.modules.  For the few names
that basicsr wants, they hand out objects that import the real ones when they are first used; for any other
name they give way to the real module.  Afterwards they leave: the next import of such a module is the real
one.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

# module: names that are handed out in advance
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
    """`import basicsr` takes twice as long as what is needed of it.

    Concerns basicsr 1.4.2 and torchvision up to 0.28 at least.  Where nobody asks for the modules in SLOW, or
    they are imported already, this changes nothing.  Delete when neither imports them while it is imported.
    """
    for name, known in SLOW.items():
        if name not in sys.modules:
            sys.modules[name] = StandIn(name, dict.fromkeys(known, name))


def end_postponing() -> None:
    """Let the stand-ins leave."""
    for name in SLOW:
        leave(name)


class StandIn(ModuleType):
    """In sys.modules for a module that nobody has used yet.

    Args:
        name: Of the module.
        homes: Names handed out in advance, and the module where each is found.
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
    """Make room in sys.modules for the real module, where a stand-in is there."""
    if isinstance(sys.modules.get(name), StandIn):
        del sys.modules[name]
