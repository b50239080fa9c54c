"""The metrics in option files: every name, what its arguments may be, and which value is the best."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny import tiny_options

import ir_plugins.metrics
from ir_plugins.checks import option_file
from ir_plugins.cli import main
from ir_plugins.options.reading import complete
from ir_plugins.runtime.errors import UserError

from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

NAMES = ir_plugins.metrics.__all__
FETCHING = {"lpips", "dists"}
LOWER = {"mae", "lpips", "dists"}
BLOCKS = [
    {"type": "psnr", "crop_border": 2, "channels": "y", "round_luma": True},
    {"type": "ssim", "crop_border": 2, "channels": "gray", "mode": "matlab3d"},
    {"type": "ssim", "mode": "zero_padded", "better": "higher"},
    {"type": "ssim", "mode": "skimage"},
    {"type": "psnr_b", "channels": "y"},
    {"type": "psnr_b", "channels": "rgb", "blocks": "y"},
    {"type": "mae", "crop_border": 1},
    {"type": "psnr_aligned"},
    {"type": "ssim_aligned", "data_range": 255},
]


def options(block):
    found = copy.deepcopy(tiny_options())
    found["val"]["metrics"] = {"one": block}
    return found


def check(block):
    Path("tiny.yml").write_text(yaml.safe_dump(options(block)))
    option_file.check(options(block), "tiny.yml", is_train=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_registered_and_takes_nothing_but_arguments_of_known_kinds(name):
    assert METRIC_REGISTRY.get(name) is getattr(ir_plugins.metrics, name)
    assert METRIC_REGISTRY.get(name).better == ("lower" if name in LOWER else "higher")
    for argument in option_file.arguments(METRIC_REGISTRY.get(name), ("img", "img2")).values():
        assert argument.kind == argument.KEYWORD_ONLY
        assert argument.annotation is not argument.empty and argument.default is not argument.empty


@pytest.mark.parametrize("name", sorted(set(NAMES) - FETCHING))
def test_every_metric_prefers_the_better_picture(name):
    gt = np.random.default_rng(0).integers(0, 256, (41, 43, 3), dtype=np.uint8)
    near, far = (calculate_metric({"img": gt ^ bits, "img2": gt}, {"type": name}) for bits in (1, 31))
    assert (near < far) == (name in LOWER) and near != far


@pytest.mark.parametrize("block", BLOCKS)
def test_the_check_tries_what_an_option_file_asks_for(workplace, block, messages):
    check(block)
    assert not messages


@pytest.mark.parametrize(
    "block, says",
    [
        ({"type": "psnr", "crop_boarder": 2}, "val:metrics:one:crop_boarder: unknown key"),
        ({"type": "psnr", "channels": "Y"}, "val:metrics:one:channels: is 'Y'; expected one of rgb, y, gray"),
        ({"type": "psnr", "crop_border": 1.5}, "crop_border: is 1.5; expected a whole number"),
        ({"type": "psnr", "crop_border": -1}, "val:metrics:one: cannot work: psnr: crop_border=-1 must be 0"),
        ({"type": "psnr", "crop_border": 200}, "crop_border=200 leaves nothing of 256x256 pixels; lower it"),
        ({"type": "psnr", "data_range": 0}, "cannot work: psnr: data_range=0 must be above 0"),
        ({"type": "psnr", "round_luma": True}, "cannot work: psnr: round_luma rounds luma; set channels"),
        ({"type": "ssim", "mode": "3d"}, "mode: is '3d'; expected one of per_channel, matlab3d, zero_padded"),
        ({"type": "psnr_b", "crop_border": 2}, "val:metrics:one:crop_border: unknown key"),
        ({"type": "mae", "better": "less"}, "better: is 'less'; expected one of higher, lower"),
    ],
)
def test_the_check_shows_what_cannot_work(workplace, block, says):
    with pytest.raises(UserError) as told:
        check(block)
    assert says in str(told.value)


@pytest.mark.parametrize(
    "block, better",
    [
        ({"type": "mae"}, "lower"),
        ({"type": "mae", "better": "higher"}, "higher"),
        ({"type": "lpips"}, "lower"),
        ({"type": "psnr"}, "higher"),
        ({"type": "mae", "better": None}, "lower"),
        ({"type": "psnr", "better": None}, "higher"),  # BasicSR took ~ for lower
        ({"type": "calculate_psnr", "crop_border": 0, "better": None}, None),  # and its default is higher
        ({"type": "calculate_niqe", "crop_border": 0}, "lower"),  # it kept the highest, which is the worst
        ({"type": "calculate_niqe", "crop_border": 0, "better": "higher"}, "higher"),
    ],
)
def test_a_metric_says_itself_which_value_is_better(workplace, block, better):
    given, before = options(block), dict(block)
    found = complete(given, is_train=True)["val"]["metrics"]["one"]
    block = {key: value for key, value in block.items() if value is not None}
    assert found == block | ({"better": better} if better else {})
    assert given == options(before)


def test_a_run_measures_them_and_keeps_the_lowest(tiny, fresh_logger):
    found = yaml.safe_load(tiny.read_text())
    found["val"]["metrics"] = {
        "mae": {"type": "mae", "crop_border": 1},
        "psnr": {"type": "psnr", "channels": "y", "crop_border": 2},
        "ssim": {"type": "ssim", "mode": "matlab3d"},
    }
    found["logger"]["use_tb_logger"] = False
    tiny.write_text(yaml.safe_dump(found))
    assert main(["train", "-opt", str(tiny)]) == 0
    page = (tiny.parent / "experiments/tiny/report.html").read_text()
    assert 'title="lower is better"' in page and 'title="higher is better"' in page
    log = next((tiny.parent / "experiments/tiny").glob("train_*.log")).read_text()
    lines = [line for line in log.splitlines() if "# mae" in line]
    values = [float(line.split("mae:")[1].split()[0]) for line in lines]
    bests = [float(line.split("Best:")[1].split()[0]) for line in lines]
    assert len(values) == 2 and bests == [values[0], min(values)]
