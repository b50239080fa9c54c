"""options/schema.json: up to date, and in agreement with the checks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from broken_options import BEYOND_EDITORS, CHANGES, changed
from tiny import tiny_options

from ir_plugins.checks.editor_schema import editor_schema
from ir_plugins.commands.list import named
from ir_plugins.options.problems import Key
from ir_plugins.options.signatures import json_kind

ROOT = Path(__file__).parents[2]
DESIGNED = {"type": "Restormer", "attention": [None] * 3 + [{"type": "assa", "window_size": 8}] + [None] * 4}


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft7Validator(json.loads((ROOT / "options/schema.json").read_text(encoding="utf-8")))


def without_torch(schema):
    """What a schema says apart from optimizers, whose arguments differ between versions of torch."""
    kept = {name: kind for name, kind in schema["definitions"].items() if not name.startswith("optimizer")}
    return schema | {"definitions": kept}


def optimizers(schema):
    """By name what the schema says about an optimizer."""
    kinds = schema["definitions"]["optimizer"]["allOf"]
    return {kind["if"]["properties"]["type"]["const"]: kind["then"] for kind in kinds}


def test_it_is_what_the_code_says(validator):
    """In a process of its own: other tests register classes, and sets are in another order."""
    code = (
        "import ir_plugins; from ir_plugins.checks.editor_schema import schema_text as t; print(t(), end='')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    now, committed = json.loads(done.stdout), validator.schema
    advice = "options/schema.json is not what the code says: run `make schema` and look at the difference"
    assert without_torch(now) == without_torch(committed), advice
    for name in ("Adam", "AdamW", "SGD"):
        then, kept = optimizers(now)[name], optimizers(committed)[name]
        assert then["required"] == kept["required"] == ["lr"]
        assert resolved(now, then, "no_decay") == resolved(committed, kept, "no_decay")
        assert resolved(now, then, "lr") == resolved(committed, kept, "lr")


def resolved(schema, block, key):
    """The schema of a block's key, wherever it is defined."""
    kind = block["properties"][key]
    return schema["definitions"][kind["$ref"].removeprefix("#/definitions/")] if "$ref" in kind else kind


def test_the_file_is_short():
    """It once repeated every key of a dataset 30 times, in 312 KB."""
    assert (ROOT / "options/schema.json").stat().st_size < 190_000


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(editor_schema())


def test_what_is_sound_passes(validator):
    published = {"use_grad_clip": True, "mixing_augs": {"mixup": False}}
    for changes in (
        {},
        {"network_g": DESIGNED},
        {"network_g": {"type": "AST", "attention": "none", "ffn": {"type": "gdfn", "ratio": 2}}},
        {"network_g": {"type": "SwinIR", "window_size": 8, "img_size": [64, 48], "anything": 1}},
        {"num_gpu": "auto", "path": None, "logger": None},
        {"path": {"pretrain_network_g": None, "strict_load_g": False, "param_key_g": "params"}},
        {"model_type": "ImageCleanModel", "train": tiny_options()["train"] | published},
        {"train": tiny_options()["train"] | {"edge_opt": {"type": "CharbonnierLoss"}, "grad_clip": None}},
    ):
        assert [error.message for error in validator.iter_errors(tiny_options() | changes)] == []


@pytest.mark.parametrize("change", CHANGES)
def test_mistakes_are_marked(validator, change):
    """What the checks refuse, apart from what a schema cannot see."""
    assert validator.is_valid(changed(tiny_options(), change)) == (change in BEYOND_EDITORS)


def test_the_table_of_what_editors_cannot_see_is_kept_up():
    assert set(CHANGES) >= BEYOND_EDITORS


def test_every_name_can_be_given_and_shows_its_arguments(validator):
    kinds = {"archs": "network", "losses": "loss", "metrics": "metric", "datasets": "dataset"}
    kinds |= {"schedulers": "scheduler", "optimizers": "optimizer"}
    for kind, definition in kinds.items():
        offered = validator.schema["definitions"][definition]["properties"]["type"]["enum"]
        ours = {name for name, item in named(kind).items() if item.__module__.startswith("ir_plugins.")}
        assert ours <= set(offered) and offered == sorted(offered)
    (net,) = (
        choice["then"]["properties"]
        for choice in validator.schema["definitions"]["network"]["allOf"]
        if choice["if"]["properties"]["type"]["const"] == "SemanIR"
    )
    assert net["upscale"]["type"] == "integer" and net["upscale"]["default"] == 2


def test_declared_texts_and_bounds_reach_the_editor(validator):
    clip = resolved(validator.schema, validator.schema["properties"]["train"], "grad_clip")
    assert clip["type"] == ["number", "null"] and clip["exclusiveMinimum"] == 0
    assert clip["description"] == "largest L2 norm of all gradients together"


def test_kinds():
    assert json_kind(int | None, {"minimum": 1}) == {"type": ["integer", "null"], "minimum": 1}
    assert json_kind(Key) == {}
    assert json_kind(tuple[float, int])["items"] == [{"type": "number"}, {"type": "integer"}]
