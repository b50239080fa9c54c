"""Run functions before and after the first import of another package, whoever imports it."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # importlib.abc is slow to import, and a Ctrl-C meanwhile gets Python's traceback
    Loader = MetaPathFinder = object


def around_import(
    package: str, before: Callable[[], None], after: Callable[[], None], *, host: str, light: Collection[str]
) -> None:
    """Call `before` and `after` around the first import of `package`; at once if it is imported already.

    An error of either one reaches whoever imports the package, and the next import tries again.

    Args:
        package: Name of a top-level package, such as "basicsr".
        before: What the package needs to be importable.
        after: What must follow before anybody uses the package.  It may import everything.
        host: The package whose subpackages need `package` as `before` and `after` leave it: the first of them
            to be imported imports `package` before itself.
        light: Names of the host's subpackages and modules that do not need `package`.
    """
    if package in sys.modules:
        before()
        after()
    else:
        sys.meta_path.insert(0, _AroundImport(package, before, after, host, light))


class _AroundImport(MetaPathFinder):
    """Stands first on sys.meta_path until the package is imported, then leaves it."""

    def __init__(
        self,
        package: str,
        before: Callable[[], None],
        after: Callable[[], None],
        host: str,
        light: Collection[str],
    ):
        self.package, self.before, self.after = package, before, after
        self.host, self.light = host, light
        self.busy = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if (
            self.busy
            or self.package in sys.modules
            or not (name == self.package or self._needs_package(name))
        ):
            return None
        self.busy = True
        try:
            spec = importlib.util.find_spec(name)  # by the other finders
        finally:
            self.busy = False
        if name == self.package:
            # if the package is missing, `before` explains it better than Python does
            spec = spec or ModuleSpec(name, None)
            spec.loader = _Surrounded(self, spec.loader)
        elif spec is not None:
            spec.loader = _Second(self.package)
        return spec

    def load(self, module: ModuleType, loader: Loader | None) -> None:
        """Execute the package's module, with `before` and `after` around it."""
        held: set[str] | None = None
        self.busy = True
        try:
            self.before()
            held = set(sys.modules)
            for name in [name for name in sys.modules if name.startswith(f"{self.package}.")]:
                del sys.modules[name]  # left behind by an import that failed earlier
            if loader is not None:
                loader.exec_module(module)
            self.after()
        except BaseException:
            self._forget(set(sys.modules) - held if held else ())
            raise
        finally:
            self.busy = False
        sys.meta_path.remove(self)

    def _needs_package(self, name: str) -> bool:
        host, _, child = name.rpartition(".")
        return host == self.host and child not in self.light

    def _forget(self, names: Iterable[str]) -> None:
        """Drop modules that hold pieces of the failed import, so that the next one starts anew."""
        for name in names:
            parts = name.split(".")
            if parts[0] == self.package or (
                parts[0] == self.host and self._needs_package(".".join(parts[:2]))
            ):
                sys.modules.pop(name, None)
                parent = sys.modules.get(name.rpartition(".")[0])
                if parent is not None:
                    vars(parent).pop(parts[-1], None)


class _Surrounded(Loader):
    """Loads the package itself."""

    def __init__(self, finder: _AroundImport, loader: Loader | None):
        self.finder, self.loader = finder, loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec) if self.loader else None

    def exec_module(self, module: ModuleType) -> None:
        # from now on the module looks as if Python had imported it without us
        module.__spec__.loader = module.__loader__ = self.loader  # type: ignore[union-attr]
        self.finder.load(module, self.loader)


class _Second(Loader):
    """Loads a module of the host that is imported before the package is.

    The package's import imports the module too, in a suitable order.  So this loader lets go of the empty
    module that Python has prepared, imports the package, and leaves the real module in sys.modules, where
    Python looks for it.
    """

    def __init__(self, package: str):
        self.package = package

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        del sys.modules[module.__name__]
        importlib.import_module(self.package)
        importlib.import_module(module.__name__)
