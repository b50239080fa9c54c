"""Every shipped option file: checked with all variants that its header names, trained, validated, tested."""

import json
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
from shrunken import overrides, write_data, write_weights

from ir_plugins.archs.semanir_arch import UNET_LEVELS
from ir_plugins.checks import option_file
from ir_plugins.cli import main
from ir_plugins.data.preparation.presets import PRESETS
from ir_plugins.ops.windows import window_grid
from ir_plugins.options.reading import read_options

FILES = sorted((Path(__file__).parent.parent / "options").glob("*.yml"))
TRAIN = [path for path in FILES if path.stem.startswith("train_")]
TEST = [path for path in FILES if path.stem.startswith("test_")]


def variants(path):
    """The overrides after each --force_yml of a header."""
    header = [line.strip("# \n") for line in path.read_text().splitlines() if line.startswith("#")]
    for part in " ".join(header).split("--force_yml ")[1:]:
        words = re.match(r"(?:[\w:]+=\S+\s*)*", part)[0].split()
        yield [word.rstrip(".,;") for word in words]


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft7Validator(
        json.loads(Path(FILES[0].parent, "schema.json").read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_valid_with_each_variant_of_its_header_and_editors_agree(
    path, monkeypatch, validator, nets_built_once
):
    monkeypatch.setitem(sys.modules, "lpips", ModuleType("lpips"))  # an extra, which need not be there
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    assert read_options(str(path))["name"] == path.stem
    for force in ([], *variants(path)):
        options = read_options(str(path), force)
        option_file.check(options, str(path), is_train="train" in options, force=force)
        assert [error.message for error in validator.iter_errors(options)] == []


def test_a_header_without_a_variant_is_read_as_such():
    assert all(force for path in FILES for force in variants(path))


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_the_command_that_makes_the_data_is_there(path):
    command = re.search(r"data: python scripts/(prepare_\w+.py) (\S+)", path.read_text())
    assert command[1] == "prepare_sr.py" or command[2] in PRESETS


# of each stage: pictures, batch of all GPUs, epochs, patch, learning rate (facts of the released scripts)
SPAD, AGAN, HAZE = 638492, 861, 45
AST_STAGES = {
    "Deraining": [(SPAD, 32, 20, 128, 2e-4), (SPAD, 16, 15, 256, 1e-4)],
    "Raindrop": [(AGAN, 32, 300, 128, 2e-4), (AGAN, 16, 200, 256, 1e-4), (AGAN, 8, 150, 384, 8e-5)],
    "Dehaze": [
        (HAZE, 4, 2000, 256, 2e-4),
        (HAZE, 4, 1200, 384, 1.2e-4),
        (HAZE, 4, 800, 512, 8e-5),
        (HAZE, 2, 300, 768, 3e-5),
        (HAZE, 2, 80, 896, 1e-5),
    ],
}


@pytest.mark.parametrize("task", AST_STAGES)
def test_stages_of_ast_are_the_published_epochs(task):
    path = next(path for path in TRAIN if path.stem == f"train_AST_{task}")
    stages = [[], *(force for force in variants(path) if any("_stage" in word for word in force))]
    for force, (count, batch, epochs, patch, rate) in zip(stages, AST_STAGES[task], strict=True):
        options = read_options(str(path), force)
        train, data = options["train"], options["datasets"]["train"]
        epoch = math.ceil(count / batch)
        assert train["total_iter"] == train["scheduler"]["T_max"] == epochs * epoch
        assert train["warmup_iter"] == 3 * epoch and train["optim_g"]["lr"] == rate
        assert data["gt_size"] == options["network_g"]["img_size"] == patch
        assert batch // data["batch_size_per_gpu"] in (1, 2)


@pytest.mark.parametrize("path", [path for path in TRAIN if "Restormer" in path.stem], ids=lambda p: p.stem)
def test_restormer_trains_as_published(path):
    options = read_options(str(path))
    train, data = options["train"], options["datasets"]["train"]
    assert train["total_iter"] == sum(data["iters"]) == sum(train["scheduler"]["periods"]) == 300000
    assert data["iters"] == [92000, 64000, 48000, 36000, 36000, 24000]
    assert data["gt_sizes"] == [128, 160, 192, 256, 320, 384]
    assert data["mini_batch_sizes"] == [8, 5, 4, 2, 1, 1]
    assert train["scheduler"]["eta_mins"] == [3e-4, 1e-6] and train["use_grad_clip"] is True
    denoises = "Denoise" in path.stem
    assert train["mixing_augs"]["mixup"] == denoises
    assert options["network_g"]["LayerNorm_type"] == ("BiasFree" if denoises else "WithBias")


def trained_windows(options):
    """The largest window that a training shows to each level of a SemanIR, and the whole window."""
    network, train = options["network_g"], options["train"]
    patches = (train.get("progressive") or {}).get("patch_sizes") or [options["datasets"]["train"]["gt_size"]]
    side, levels = max(patches) // options["scale"], UNET_LEVELS if network["type"] == "SemanIRUNet" else [0]
    side += -side % 8
    grids = [window_grid((side >> level, side >> level), network["window_size"]) for level in levels]
    return [grid.window for grid in grids], (network["window_size"],) * 2


@pytest.mark.parametrize("path", [path for path in TRAIN if "SemanIR" in path.stem], ids=lambda p: p.stem)
def test_each_phase_of_semanir_trains_the_whole_windows_that_tests_use(path):
    """Offsets beyond a cut window meet no gradient: patches of 128 leave 16 of 32 pixels at the bottom."""
    tested = read_options(str(path.with_name(path.name.replace("train_", "test_"))))["network_g"]
    for force in ([], *variants(path)):
        options = read_options(str(path), force)
        found, whole = trained_windows(options)
        assert whole == (tested["window_size"],) * 2
        # the weights of these are not tested: a second phase follows
        cut = any(word.endswith(("_128", "_144")) for word in force)
        assert (min(found) < whole) if cut else (set(found) == {whole})


def test_each_experiment_can_be_trained_and_tested():
    trained, tested = ({path.stem.partition("_")[2] for path in paths} for paths in (TRAIN, TEST))
    assert trained - tested == {"Restormer_ASSA_Deraining"} and tested - trained == {"Restormer_RealBlur"}


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_three_iterations_and_a_validation(path, workplace, fresh_logger):
    force = overrides(read_options(str(path)))
    options = read_options(str(path), force)
    write_data(options)
    assert main(["train", "-opt", str(path), "--force_yml", *force]) == 0
    run = workplace / "experiments" / path.stem
    assert (run / "models/net_g_3.pth").exists() and (run / "models/net_g_best.pth").exists()
    log = next(run.glob("*.log")).read_text()
    metrics, values = options["val"]["metrics"], re.findall(r"# (\w+): (\S+)", log)
    for data in options["datasets"].values():
        assert f"Validation {data['name']}" in log or data is options["datasets"]["train"]
    assert {name for name, _ in values} == set(metrics) and all(float(value) > -1 for _, value in values)
    losses = [float(value) for value in re.findall(r"l_pix: (\S+)", log)]
    assert len(losses) == 3 and all(0 < loss < 1 for loss in losses)


@pytest.mark.parametrize("path", TEST, ids=lambda path: path.stem)
def test_a_test_measures_every_set(path, workplace, fresh_logger):
    force = overrides(read_options(str(path)))
    options = read_options(str(path), force)
    write_data(options)
    write_weights(options)
    assert main(["test", "-opt", str(path), "--force_yml", *force]) == 0
    for data in options["datasets"].values():
        assert (
            len(list((workplace / "results" / path.stem / "visualization" / data["name"]).rglob("*.png")))
            == 3
        )
