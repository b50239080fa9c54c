"""Every shipped option file: checked with all the variants its header tells, trained, validated, tested."""

import re
from pathlib import Path

import pytest
from shrunken import overrides, write_data, write_weights

from ir_plugins import schema
from ir_plugins.cli import main
from ir_plugins.data.preparation.presets import PRESETS
from ir_plugins.options import read_options

FILES = sorted((Path(__file__).parent.parent / "options").glob("*.yml"))
TRAIN = [path for path in FILES if path.stem.startswith("train_")]
TEST = [path for path in FILES if path.stem.startswith("test_")]


def variants(path):
    """The overrides after each --force_yml of a header."""
    header = [line.strip("# \n") for line in path.read_text().splitlines() if line.startswith("#")]
    for part in " ".join(header).split("--force_yml ")[1:]:
        words = re.match(r"(?:[\w:]+=\S+\s*)*", part)[0].split()
        yield [word.rstrip(".,;") for word in words]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variant_that_a_header_tells_is_valid(path):
    for force in variants(path):
        assert force
        if not any("lpips" in word for word in force):  # an extra, which need not be there
            schema.check(read_options(str(path), force), str(path), is_train=path in TRAIN, force=force)


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_the_command_that_makes_the_data_is_there(path):
    named = re.findall(r"prepare_data.py (\S+) --help", path.read_text())
    assert set(named) <= set(PRESETS) and (
        named or "prepare_sr.py" in path.read_text() or "Rain13K" in path.read_text()
    )


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
