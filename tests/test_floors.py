"""The house of CONTRIBUTING.md: every module stands on a floor, and imports point down only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ir_plugins"
# rooms of one floor never import each other
FLOORS = [
    {"ops", "runtime"},
    {"options", "pictures"},
    {"blocks", "weights"},
    {"archs", "losses", "metrics", "data"},
    {"inference", "compat"},
    {"models"},
    {"checks", "reports"},
    {"training"},
    {"commands"},
    {"cli"},
    {"__main__", "__init__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported(path):
    """Names of the rooms of ir_plugins that a file imports."""
    parts = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                base = ["ir_plugins", *parts[:-1]]
                module = base[: len(base) - node.level + 1] + module
            if module and module[0] == "ir_plugins":
                names = [alias.name for alias in node.names]
                yield from [module[1]] if len(module) > 1 else names
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("ir_plugins."):
                    yield alias.name.split(".")[1]


def room(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = room(path)
    for there in imported(path):
        if there != here:
            assert FLOOR_OF[there] < FLOOR_OF[here], f"{here} imports {there}, which does not lie below it"


def test_every_room_has_a_floor_and_says_what_lives_there():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__", "__main__", "cli"}
    assert rooms | modules == set(FLOOR_OF)
    for name in rooms:
        assert ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text())), name


def test_no_file_is_too_long_to_read():
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]


def test_the_check_sees_an_upward_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "ops").mkdir()
    file = tmp_path / "ops/bad.py"
    file.write_text(
        "from ..models import RestorationModel\nimport ir_plugins.cli\nfrom ir_plugins import archs\n"
    )
    assert list(imported(file)) == ["models", "cli", "archs"]
