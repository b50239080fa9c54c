"""Plugins: modules and files from outside, imported before option files are read; they register classes.

A plugin is named on the command line (`--plugin`), in the environment variable BASICSR_PLUGINS, or by the
entry points of an installed package; never in an option file, which runs no code.  A file or a folder becomes
a module of its own name, which data workers can import too: they find it through the environment variable,
which they inherit.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .regular import real

if TYPE_CHECKING:
    from importlib.abc import MetaPathFinder
else:  # importlib.abc is slow to import, and a Ctrl-C meanwhile gets Python's traceback
    MetaPathFinder = object

VARIABLE = "BASICSR_PLUGINS"
GROUP = "ir_plugins.plugins"  # of entry points; each names a module to import or a function to call
REGISTRIES = ("ARCH_REGISTRY", "DATASET_REGISTRY", "LOSS_REGISTRY", "METRIC_REGISTRY", "MODEL_REGISTRY")


def load_plugins(names: Iterable[str] = ()) -> None:
    """Import the plugins of installed packages, of BASICSR_PLUGINS, and those named here.

    Args:
        names: Modules that Python can import, files ending in .py, or folders with an __init__.py.  A name
            with a slash in it is a file or a folder, relative to the current directory.

    Raises:
        UserError: One line about the first plugin that is missing, fails, or takes a name that is taken.
    """
    importlib.import_module("basicsr")
    for entry in _entry_points():
        with _Blaming(f"plugin {entry.name} of the installed package {_distribution(entry)}", entry.module):
            loaded = entry.load()
            if callable(loaded):
                loaded()
    named = [(VARIABLE, name) for name in _in_environment()] + [("--plugin", name) for name in names]
    before = os.environ.get(VARIABLE, "")
    if named:  # data workers are started with it
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(_absolute(name) for _, name in named))
    try:
        for source, name in named:
            module = _module_name(f"{source} {name}", _absolute(name))
            with _Blaming(f"{source} {name}", module):
                importlib.import_module(module)
    except UserError:
        os.environ[VARIABLE] = before
        raise


def in_play(names: Sequence[str] = ()) -> bool:
    """Whether `load_plugins` would import anything.

    Args:
        names: As `load_plugins`.
    """
    return bool(names or _in_environment() or _entry_points())


def origin(item: Any) -> str:
    """Where a class or function comes from: its package, or the file of a plugin."""
    package = item.__module__.partition(".")[0]
    file = _files().get(package)
    return _shown(file) if file and not _is_package(file) else package


def is_foreign(kind: Any) -> bool:
    """Whether a class or function is a plugin's.

    Args:
        kind: The class or function.
    """
    return kind.__module__.partition(".")[0] not in ("torch", "basicsr", "ir_plugins")


def make_files_importable() -> None:
    """Let every process that imports ir_plugins, data workers too, import the files of BASICSR_PLUGINS."""
    if not any(isinstance(finder, _PluginFiles) for finder in sys.meta_path):
        sys.meta_path.append(_PluginFiles())


class _PluginFiles(MetaPathFinder):
    """Finds plugin files and folders by their name; the last of the finders, so that it hides nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = _files().get(name)
        if file is None or not file.is_file():
            return None
        folders = [str(file.parent)] if _is_package(file) else None
        return importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)


def _in_environment() -> list[str]:
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name.strip()]


def _entry_points() -> list[Any]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _distribution(entry: Any) -> str:
    return entry.dist.name if getattr(entry, "dist", None) else "(unknown)"


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or os.sep in name


def _absolute(name: str) -> str:
    return str(real(os.path.expanduser(name))) if _is_path(name) else name


def _files() -> dict[str, Path]:
    """The files of BASICSR_PLUGINS by the name of their module; of a folder its __init__.py."""
    # of two files of one name the first counts
    paths = [Path(_absolute(name)) for name in reversed(_in_environment()) if _is_path(name)]
    return {path.stem: path if path.suffix == ".py" else path / "__init__.py" for path in paths}


def _is_package(file: Path) -> bool:
    return file.name == "__init__.py"


def _module_name(shown_as: str, name: str) -> str:
    """The name under which to import a plugin.  Raises UserError if there is no such plugin."""
    if os.pathsep in name:
        raise UserError(f"{shown_as}: workers cannot be given a path with '{os.pathsep}' in it; rename it")
    if not _is_path(name):
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"{shown_as}: no module has such a name; name a file by its path: ./my_design.py")
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            here = next((f"./{p}" for p in (f"{name}.py", name) if Path(p).exists()), None)
            hint = f"; {here} is here: name that" if here else "; a file is named by its path: ./my_design.py"
            raise UserError(f"{shown_as}: there is no such module{hint}")
        return name
    file = Path(name) if name.endswith(".py") else Path(name, "__init__.py")
    if not file.is_file():
        raise UserError(f"{shown_as}: no such file; paths are relative to {Path.cwd()}")
    module = Path(name).stem
    if not module.isidentifier():
        raise UserError(f"{shown_as}: '{module}' cannot be the name of a module; use letters, digits and _")
    loaded = sys.modules.get(module)
    found = loaded.__spec__ if loaded else importlib.util.find_spec(module)
    if found is None or not found.origin or real(found.origin) != file:
        where = found.origin if found and found.origin else "another plugin"
        raise UserError(f"{shown_as}: a module named '{module}' exists already ({where}); rename yours")
    return module


class _Blaming:
    """Turns any error of a plugin's import into one line that names the plugin.

    Args:
        shown_as: How the plugin was named.
        module: The module that is imported.
    """

    def __init__(self, shown_as: str, module: str):
        self.shown_as, self.module = shown_as, module

    def __enter__(self) -> None:
        self.modules = set(sys.modules)
        self.registered = [set(table) for table in _tables()]

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        folder = self._folder()
        place = next(_places(trace, folder), "")
        text = _reason(error)
        self._forget()
        if isinstance(error, SyntaxError) and error.filename:
            place = f"{_shown(Path(error.filename))}:{error.lineno}"
        raise UserError(f"{self.shown_as}: {f'{place}: ' if place else ''}{text}") from error

    def _forget(self) -> None:
        """Drop the plugin's modules and registrations, so that a mended one can be imported again."""
        package = self.module.partition(".")[0]
        for name in set(sys.modules) - self.modules:
            if name.partition(".")[0] == package:
                del sys.modules[name]
        for table, before in zip(_tables(), self.registered, strict=True):
            for name in set(table) - before:
                del table[name]

    def _folder(self) -> str:
        """The plugin's file, or its folder if it is a package."""
        try:
            spec = importlib.util.find_spec(self.module.partition(".")[0])
        except (ImportError, ValueError):
            return "?"
        if spec is None or not spec.origin:
            return "?"
        return str(Path(spec.origin).parent) + os.sep if spec.submodule_search_locations else spec.origin


def _places(trace: TracebackType | None, folder: str) -> Iterator[str]:
    """Lines of the plugin that an error passed through, as "file:line", the innermost first."""
    found = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(folder):
            found.append(f"{_shown(Path(file))}:{trace.tb_lineno}")
        trace = trace.tb_next
    yield from reversed(found)


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "calls sys.exit while it is imported; a plugin only defines and registers"
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of the plugin's own that cannot say what it is
        text = ""
    taken = re.search(r"An object named '(\w+)' was already registered in '(\w+)' registry", text)
    if taken:
        return f"{taken[2]} '{taken[1]}' is taken by {_owner(taken[2], taken[1])}; take another name"
    if isinstance(error, UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _owner(registry: str, name: str) -> str:
    from basicsr.utils import registry as registries

    found = dict(iter(getattr(registries, f"{registry.upper()}_REGISTRY"))).get(name)
    return f"{found.__module__}.{found.__qualname__}" if found is not None else "somebody"


def _tables() -> list[dict[str, Any]]:
    """The tables of BasicSR's registries."""
    from basicsr.utils import registry as registries

    return [getattr(registries, name)._obj_map for name in REGISTRIES]


def _shown(path: Path) -> str:
    """A path relative to the current directory, if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
