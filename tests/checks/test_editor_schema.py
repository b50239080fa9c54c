"""options/schema.json: up to date, in agreement with the checks, and read by every option file."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from tiny import tiny_options

from ir_plugins.checks import option_file
from ir_plugins.checks.editor_schema import editor_schema
from ir_plugins.commands.list import KINDS
from ir_plugins.options.problems import Key
from ir_plugins.options.reading import read_options
from ir_plugins.options.signatures import argument_texts, json_kind

ROOT = Path(__file__).parents[2]
OPTION_FILES = sorted((ROOT / "options").glob("*.yml"))
DESIGNED = {"type": "Restormer", "attention": [None] * 3 + [{"type": "assa", "window_size": 8}] + [None] * 4}


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft7Validator(json.loads((ROOT / "options/schema.json").read_text(encoding="utf-8")))


def test_it_is_what_the_code_says():
    """In a process of its own: other tests register classes, and sets are in another order."""
    code = "import ir_plugins, write_schema; print(write_schema.written(), end='')"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'scripts'}", "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    committed = (ROOT / "options/schema.json").read_text(encoding="utf-8")
    assert done.stdout == committed, (
        "options/schema.json is not what the code says: run `make schema` and look at the difference.  With "
        "another torch than constraints.txt names its optimizers differ, and that is no fault."
    )


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(editor_schema())


@pytest.mark.parametrize("path", OPTION_FILES, ids=lambda path: path.stem)
def test_every_option_file_names_it_and_agrees(validator, path):
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    assert [error.message for error in validator.iter_errors(read_options(str(path)))] == []


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


@pytest.mark.parametrize(
    "keys, value",
    [
        ("nmae", "x"),
        ("name", None),
        ("scale", "2"),
        ("scale", 0),
        ("num_gpu", "all"),
        ("model_type", "RestorationModle"),
        ("datasets", []),
        ("datasets:trian", {}),
        ("datasets:train:type", "PairedDatasets"),
        ("datasets:train:datroot_gt", "x"),
        ("datasets:train:gt_size", 14.5),
        ("datasets:train:use_hflip", "no"),
        ("datasets:train:io_backend", {"type": "zip"}),
        ("datasets:train:io_backend", {"type": "disk", "path": "x"}),
        ("network_g:type", "SemanIr"),
        ("network_g:embed_dims", 6),
        ("network_g:embed_dim", "6"),
        ("network_g:depths", 6),
        ("network_g:shift", "both"),
        ("network_g:attention", "asa"),
        ("network_g:attention", {"type": "assa", "window": 8}),
        ("network_g:attention", [{"type": "assa", "window_size": "8"}]),
        ("train:total_iters", 5),
        ("train:total_iter", 0),
        ("train:precision", "fp8"),
        ("train:grad_clip", 0),
        ("train:mixup", 1.2),
        ("train:progressive:patch_sizes", [8, 0]),
        ("train:optim_g:weight_deca", 1),
        ("train:optim_g:lr", -1),
        ("train:optim_g:betas", [0.9]),
        ("train:scheduler:milestones", 3),
        ("train:pixel_opt:reduction", "none"),
        ("train:edge_opt", {"type": "L1Loss", "weight": 3}),
        ("train:use_grad_clip", True),  # ImageCleanModel's
        ("val:metrics:psnr:crop_boarder", 2),
        ("val:metrics:psnr:better", "best"),
        ("val:save_img", "no"),
        ("path:pretrained_network_g", "x"),
        ("path:strict_load_g", "no"),
        ("logger:keep_last", 0),
        ("dist_params:port", "abc"),
    ],
)
def test_mistakes_are_marked(validator, keys, value):
    """Those that the checks find too."""
    options = copy.deepcopy(tiny_options())
    *blocks, last = keys.split(":")
    block = options
    for key in blocks:
        block = block.setdefault(key, {})
    block[last] = value
    assert not validator.is_valid(options)
    assert list(option_file._problems(options, True))


def test_every_name_can_be_given_and_tells_its_arguments(validator):
    kinds = {"archs": "network", "losses": "loss", "metrics": "metric", "datasets": "dataset"}
    kinds |= {"schedulers": "scheduler", "optimizers": "optimizer"}
    for kind, definition in kinds.items():
        offered = validator.schema["definitions"][definition]["properties"]["type"]["enum"]
        ours = {name for name, item in KINDS[kind]().items() if item.__module__.startswith("ir_plugins.")}
        assert ours <= set(offered) and offered == sorted(offered)
    (net,) = (
        choice["then"]["properties"]
        for choice in validator.schema["definitions"]["network"]["allOf"]
        if choice["if"]["properties"]["type"]["const"] == "SemanIR"
    )
    text = "keys that each query keeps, 1 to N, default N/2"
    assert net["top_k"] == {"type": ["integer", "null"], "description": text}
    assert net["depths"]["items"] == {"type": "integer"} and net["depths"]["default"] == [6] * 6


def test_declared_texts_and_bounds_reach_the_editor(validator):
    clip = validator.schema["properties"]["train"]["properties"]["grad_clip"]
    assert clip["type"] == ["number", "null"] and clip["exclusiveMinimum"] == 0
    assert clip["description"] == "largest L2 norm of all gradients together"


def test_kinds():
    assert json_kind(int | None, {"minimum": 1}) == {"type": ["integer", "null"], "minimum": 1}
    assert json_kind(Key) == {}
    assert json_kind(tuple[float, int])["items"] == [{"type": "number"}, {"type": "integer"}]


def test_sentences_about_arguments_are_found_in_either_style():
    def ours():
        """Does it.

        dim, heads: channels, and
        what divides them.  ratio: hidden per channel (of dim). mode ("a": one; "b": other).
        """

    def theirs():
        """Does it.

        Args:
            dim (int | tuple(int)): Number of channels. Default: 3
            ratio (float): Hidden per channel.
                Of the middle one.
        """

    names = ["dim", "heads", "ratio", "mode"]
    assert argument_texts(ours, names) == {
        "dim": "channels, and what divides them",
        "heads": "channels, and what divides them",
        "ratio": "hidden per channel (of dim)",
        "mode": '"a": one; "b": other',
    }
    assert argument_texts(theirs, names) == {"dim": "Number of channels", "ratio": "Hidden per channel"}
