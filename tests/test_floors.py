"""The house of the README: imports point down only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ir_plugins"
FLOORS = {
    "ops": 0,
    "blocks": 0,
    "archs": 1,
    "losses": 1,
    "data": 1,
    "metrics": 1,
    "models": 2,
    "cli": 4,
    "__main__": 5,
    "__init__": 5,
}
BESIDE = {
    "compat",
    "errors",
    "options",
    "checkpoints",
    "recognition",
    "schema",
    "basicsr_keys",
    "building",
    "dataset_schema",
    "problems",
    "rehearsal",
    "signatures",
    "storage",
    "randomness",
    "distributed",
    "interruption",
    "machine",
}  # used from every floor; pipelines are floor 3
ROOMS = {"archs", "losses", "data", "metrics"}  # never import each other


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


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = room(path)
    for there in imported(path):
        if there in BESIDE or there == here:
            continue
        assert here not in BESIDE, f"{here} stands beside the floors and imports {there}"
        assert FLOORS.get(there, 3) <= FLOORS.get(here, 3), f"{here} imports {there}, which lies above it"
        assert not (here in ROOMS and there in ROOMS), f"{here} and {there} share a floor"
        assert not (here == "ops" and there == "blocks"), "ops are what blocks are built on"


def test_the_check_sees_an_upward_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "ops").mkdir()
    file = tmp_path / "ops/bad.py"
    file.write_text(
        "from ..models import RestorationModel\nimport ir_plugins.cli\nfrom ir_plugins import archs\n"
    )
    assert list(imported(file)) == ["models", "cli", "archs"]
