"""What docs/METRICS.md shows works as it stands there, and says what is true."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from skimage import data
from tiny import tiny_options

import ir_plugins.metrics
from ir_plugins.checks import option_file
from ir_plugins.metrics import ssim

TEXT = (Path(__file__).parent.parent.parent / "docs/METRICS.md").read_text()
SNIPPETS = [yaml.safe_load(block)["val"] for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S)]


@pytest.mark.parametrize("val", SNIPPETS)
def test_snippets_pass_the_check(workplace, val, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", ModuleType("lpips"))
    options = tiny_options()
    options["val"] |= val
    if "use_image" in val:
        options["model_type"] = "ImageCleanModel"
    Path("tiny.yml").write_text(yaml.safe_dump(options))
    option_file.check(options, "tiny.yml", is_train=True)


def test_every_metric_is_in_the_table():
    assert len(SNIPPETS) == 9
    names = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", TEXT, re.M))))
    assert set(ir_plugins.metrics.__all__) <= names


def test_the_example_is_right():
    gt = data.chelsea()[..., ::-1]
    noise = np.random.default_rng(0).normal(0, 10, gt.shape)
    result = np.clip(gt + noise, 0, 255).round().astype(np.uint8)
    for mode, told in re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| (0\.\d{3}) \|", TEXT, re.M):
        assert ssim(result, gt, mode=mode) == pytest.approx(float(told), abs=6e-4)
