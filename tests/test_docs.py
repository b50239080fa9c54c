"""The documents: links and anchors lead somewhere, the README is short, and what it shows runs."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
import yaml
from test_floors import FLOORS
from tiny import tiny_options

from ir_plugins.archs import Restormer
from ir_plugins.blocks import FEED_FORWARDS
from ir_plugins.checks import option_file
from ir_plugins.options.reading import read_options

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = DOCS[0].read_text()
FENCE = re.compile(r"^```.*?^```$", re.S | re.M)


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fences(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.S | re.M)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", path.read_text())):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short():
    assert len(FENCE.sub("", README).split()) <= 1400


@pytest.mark.parametrize("path", DOCS[2:], ids=lambda path: path.name)
def test_every_document_is_linked_from_the_readme(path):
    assert f"](docs/{path.name})" in README


def test_every_place_that_the_table_of_changes_names_exists():
    _, table = DOCS[1].read_text().split("\n## Where do I change", 1)
    rows = re.findall(r"^\| .* \| (.*) \|$", table.partition("\n## ")[0], re.M)[1:]
    assert len(rows) > 20
    for row in rows:
        for place in re.findall(r"`([^`]+)`", row):
            home = ROOT if "clone" in row else ROOT / "ir_plugins"
            assert any(home.glob(place.rstrip("/"))), place


def test_the_picture_of_the_house_shows_its_floors():
    text = DOCS[1].read_text()
    for floor, rooms in enumerate(FLOORS[:-1]):
        line = re.search(rf"^floor {floor} (.*)$", text, re.M)[1]
        assert set(re.findall(r"(\w+)(?:/|\.py)", line)) == rooms
        assert all(f"\n| `{room}/` |" in text for room in rooms - {"cli"})


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_python_compiles(path):
    for number, code in enumerate(fences(path, "python")):
        compile(code, f"{path.name}[{number}]", "exec")


def test_the_readmes_design_works(tmp_path):
    (code,) = fences(DOCS[0], "python")
    file = tmp_path / "my_design.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("my_design", file)
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        net = Restormer(dim=8, num_blocks=[1] * 4, heads=[1] * 4, num_refinement_blocks=1, ffn="gated")
    finally:
        FEED_FORWARDS.pop("gated", None)
    assert net(torch.rand(1, 3, 7, 11)).shape == (1, 3, 7, 11)


EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("TRAINING", "TESTING", "LOSSES", "DESIGNS")
    for number, block in enumerate(fences(ROOT / f"docs/{name}.md", "yaml"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_option_examples_pass_the_check(workplace, example):
    Path("example.yml").write_text(example)
    example, options = read_options("example.yml"), tiny_options()
    if "type" in example.get("network_g", {}):
        del options["network_g"]
        options["scale"] = 1
    is_train = "test_1" not in example.get("datasets", {})
    if not is_train:
        del options["datasets"], options["train"]
    for key, block in example.items():
        options[key] = options.get(key, {}) | block if isinstance(block, dict) else block
    if "name" in example:  # a whole file
        options = example
    Path("tiny.yml").write_text(yaml.safe_dump(options))
    option_file.check(options, "tiny.yml", is_train=is_train)
