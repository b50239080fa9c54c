import copy
from pathlib import Path

import pytest
import yaml
from broken_options import CHANGES
from broken_options import changed as changed_by
from tiny import tiny_options

from ir_plugins.checks import option_file
from ir_plugins.options.problems import MOST_REPORTED
from ir_plugins.options.reading import read_options
from ir_plugins.runtime.errors import UserError

OPTION_FILES = sorted((Path(__file__).parents[2] / "options").glob("*.yml"))


def problems(options, is_train=True):
    path = Path("o.yml")
    path.write_text(yaml.safe_dump(options, sort_keys=False))
    try:
        option_file.check(options, str(path), is_train=is_train)
    except UserError as error:
        return str(error).splitlines()
    return []


SCALES = {3: 192, 4: 256}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ["train", "test"])
def test_other_scales_and_base_need_no_other_file(kind, scale):
    """The overrides that the header names, read from the header itself."""
    path = next(path for path in OPTION_FILES if path.stem == f"{kind}_SemanIR_SR")
    header = [line.strip("# \n") for line in path.read_text().splitlines() if line.startswith("#")]
    words = " ".join(header)
    overrides = ("name=" + words.partition("--force_yml name=")[2]).partition(" B: --force_yml")[0].split()
    base = words.partition(" B: --force_yml ")[2].split()
    if scale == 4:
        swaps = {"3": "4", "X3": "X4", "bicx3": "bicx4", "SRx3": "SRx4", "192": "256"}
        overrides = [_swapped(override, swaps) for override in overrides]
    options = read_options(str(path), overrides + base)
    option_file.check(options, str(path), is_train=kind == "train")
    assert options["scale"] == options["network_g"]["upscale"] == scale
    assert len(options["network_g"]["depths"]) == 8
    metric = options["val"]["metrics"]["psnr"]
    assert metric["crop_border"] == scale
    roots = [d["dataroot_lq"] for d in options["datasets"].values()]
    assert all(f"x{scale}" in root.lower() for root in roots)
    if kind == "train":
        assert options["datasets"]["train"]["gt_size"] == SCALES[scale]


def test_the_overrides_that_the_readme_shows_are_valid():
    words = (Path(__file__).parents[2] / "README.md").read_text().split("`--force_yml ")[1]
    overrides = words.partition("`")[0].split()
    assert len(overrides) == 3
    for path in OPTION_FILES:
        if path.stem == "train_SemanIR_SR":
            option_file.check(read_options(str(path), overrides), str(path), is_train=True)


def _swapped(override, swaps):
    key, _, value = override.partition("=")
    for old, new in swaps.items():
        if value == old or (len(old) > 1 and old in value):
            value = value.replace(old, new)
    return f"{key}={value}"


def test_sound_options_pass(workplace):
    assert problems(tiny_options()) == []


def changed(*keys, value):
    options = copy.deepcopy(tiny_options())
    block = options
    for key in keys[:-1]:
        block = block[key]
    if value is None:
        block.pop(keys[-1], None)
    else:
        block[keys[-1]] = value
    return options


@pytest.mark.parametrize("name", ["", ".", "..", "../data", "a/b", "/tmp/x", "a\0b", "x" * 190, 3, [1]])
@pytest.mark.parametrize("keys", [("name",), ("datasets", "val", "name"), ("val", "suffix")])
def test_names_cannot_lead_out_of_their_folder(workplace, keys, name):
    if keys == ("val", "suffix") and name == "":  # a test's pictures are then called as their inputs
        assert not problems(changed(*keys, value=name))
        return
    (line,) = problems(changed(*keys, value=name))
    assert f"{':'.join(keys)}: is {name!r}; expected a word that can name a folder" in line


def test_a_set_without_a_name_is_called_like_its_block(workplace):
    """`val_/../../x` made a folder elsewhere."""
    block = {key: value for key, value in tiny_options()["datasets"]["val"].items() if key != "name"}
    for phase in ("val_/../../x", "val_a\tb"):
        (line,) = problems(changed("datasets", phase, value=block))
        assert (
            f"datasets:{phase.split(chr(9))[0]}" in line
            and "; expected a word that can name a folder" in line
        )
    options = changed("datasets", "val_2", value=block)
    options["datasets"]["val"]["name"] = "val_2"
    (line,) = problems(options)
    assert "datasets:val_2: is 'val_2', as another set's is" in line


def test_many_problems_are_cut(workplace):
    """Each unknown key cost as much as a file without one."""
    options = tiny_options()
    options["train"] |= {f"key{i}": 1 for i in range(3000)}
    *lines, last = problems(options)
    assert len(lines) == MOST_REPORTED and last == (
        f"o.yml: there are more problems than these {MOST_REPORTED}; mend these first"
    )


def test_a_model_with_a_discriminator_needs_more(workplace):
    lines = problems(changed("model_type", value="SRGANModel"))
    for text in (
        "network_d: is missing; SRGANModel needs it",
        "train:optim_d: is missing",
        "train:gan_opt: is missing",
        "is AdamW, but SRGANModel knows Adam only",
    ):
        assert any(text in line for line in lines), lines


def test_no_dataset_to_train_on(workplace):
    lines = problems(changed("datasets", value={"val": {}}))
    assert [line.partition(": ")[2] for line in lines] == [
        "datasets: has no block train",
        "datasets:val: must be a block of keys",
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_each_key_is_judged_once(change, nets_built_once):
    keys = [keys for keys, _ in option_file._problems(changed_by(tiny_options(), change), True)]
    assert len(keys) == len(set(keys)), keys


@pytest.mark.parametrize("value", [None, "", 5, -1, "x", "none", [1], {"a": 1}])
@pytest.mark.parametrize(
    "kind", ["PairedDataset", "GaussianNoiseDataset", "MixedDataset", "Dataset_PairedImage"]
)
def test_each_key_of_a_dataset_is_judged_once(kind, value, nets_built_once):
    own = {"sigma": [5, 50]} if kind == "GaussianNoiseDataset" else {}
    own |= {"sets": {"rain": {"dataroot_gt": "x", "dataroot_lq": "y"}}} if kind == "MixedDataset" else {}
    options = tiny_options()
    block = options["datasets"]["train"] | {"type": kind, **own}
    for key in (*block, "color", "mean", "filename_tmpl", "sigma", "nowhere"):
        options["datasets"]["train"] = block | {key: value}
        keys = [keys for keys, _ in option_file._problems(options, True)]
        assert len(keys) == len(set(keys)), (key, keys)


def test_a_problem_of_an_override_is_not_blamed_on_the_file(workplace):
    Path("o.yml").write_text(yaml.safe_dump(tiny_options()))
    force = ["train:total_itr=3"]
    with pytest.raises(
        UserError, match="--force_yml: train:total_itr: unknown key; did you mean 'total_iter'"
    ):
        option_file.check(read_options("o.yml", force), "o.yml", is_train=True, force=force)


def test_luma_networks_train_on_luma(workplace):
    options = changed("network_g", "in_chans", value=1)
    for dataset in options["datasets"].values():
        dataset["color"] = "y"
    assert problems(options) == []


def test_all_problems_are_reported_at_once(workplace):
    options = changed("train", "ema_deca", value=1)
    options["network_g"]["top_k"] = 0
    options["logger"]["print_frq"] = 3
    assert len(problems(options)) == 3


def test_basicsr_networks_are_checked_too(workplace):
    edsr = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "upscale": 2}
    assert problems(changed("network_g", value=edsr)) == []
    (line,) = problems(changed("network_g", value={"type": "EDSR", "num_in_ch": 3}))
    assert "num_out_ch: is missing; EDSR needs it" in line
