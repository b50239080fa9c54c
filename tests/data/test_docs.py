"""What docs/DATASETS.md shows of option files is valid as it stands, and its tables leave nothing out."""

import re
from pathlib import Path

import yaml

from ir_plugins.checks import option_file
from ir_plugins.commands.list import named
from ir_plugins.data.preparation.presets import PRESETS
from ir_plugins.options.reading import read_options

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/DATASETS.md").read_text()


def test_the_example_of_a_mixture_is_valid(workplace):
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    options = read_options(str(ROOT / "options/train_SemanIR_AdverseWeather.yml"))
    block = yaml.safe_load(example)["datasets"]["train"]
    options["datasets"] = {"train": block}
    Path("o.yml").write_text(yaml.safe_dump(options))
    option_file.check(read_options("o.yml"), "o.yml", is_train=True)


def test_every_dataset_and_every_preset_is_reported():
    ours = [name for name, kind in named("datasets").items() if kind.__module__.startswith("ir_plugins.")]
    for name in (*(name for name in ours if not name.startswith("Dataset_")), *PRESETS):
        assert f"`{name}`" in TEXT or f"prepare_data.py {name} " in TEXT, name
