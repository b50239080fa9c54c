import copy
from pathlib import Path

import pytest
import yaml
from tiny import tiny_options

from ir_plugins.checks import option_file
from ir_plugins.options.reading import read_options
from ir_plugins.options.signatures import keys_read
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


@pytest.mark.parametrize("path", OPTION_FILES, ids=lambda path: path.stem)
def test_every_shipped_option_file_is_valid_and_named_after_itself(path):
    options = read_options(str(path))
    option_file.check(options, str(path), is_train="train" in options)
    assert options["name"] == path.stem


SCALES = {3: 192, 4: 256}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ["train", "test"])
def test_other_scales_and_base_need_no_other_file(kind, scale):
    """The overrides that the header tells, read from the header itself."""
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


@pytest.mark.parametrize(
    "keys, near",
    [
        (("nam",), "name"),
        (("datasets", "train", "datroot_gt"), "dataroot_gt"),
        (("datasets", "train", "batchsize_per_gpu"), "batch_size_per_gpu"),
        (("network_g", "embed_dims"), "embed_dim"),
        (("path", "pretrained_network_g"), "pretrain_network_g"),
        (("train", "ema_deca"), "ema_decay"),
        (("train", "total_iters"), "total_iter"),
        (("train", "optim_g", "weight_deca"), "weight_decay"),
        (("train", "scheduler", "milestone"), "milestones"),
        (("train", "pixel_opt", "los_weight"), "loss_weight"),
        (("val", "val_frequency"), "val_freq"),
        (("val", "metrics", "psnr", "crop_boarder"), "crop_border"),
        (("logger", "print_frq"), "print_freq"),
    ],
)
def test_an_unknown_key_is_located_and_its_neighbour_named(workplace, keys, near):
    options = tiny_options() | {"path": {}}
    block = options
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = 1
    (line,) = problems(options)
    place, keyed, text = line.split(": ", 2)
    assert keyed == ":".join(keys)
    assert (
        Path("o.yml").read_text().splitlines()[int(place.partition(":")[2]) - 1].strip().startswith(keys[-1])
    )
    assert text == f"unknown key; did you mean '{near}'?"


@pytest.mark.parametrize(
    "keys, value, message",
    [
        (("name",), None, "name: is missing"),
        (("train",), None, "train: is missing"),
        (("datasets",), [1], "datasets: must be a block of keys"),
        (
            ("model_type",),
            "RestorationModle",
            "'RestorationModle' is not known; did you mean 'RestorationModel'?",
        ),
        (("datasets", "train", "type"), "PairedDatasets", "is not known; did you mean 'PairedDataset'?"),
        (("datasets", "train", "gt_size"), None, "datasets:train:gt_size: is missing"),
        (("datasets", "train", "dataroot_lq"), None, "datasets:train:dataroot_lq: is missing"),
        (("datasets", "train", "batch_size_per_gpu"), 0, "is 0; expected a whole number of at least 1"),
        (("datasets", "train", "io_backend"), {"type": "zip"}, "must be {type: disk} or {type: lmdb}"),
        (("datasets", "train", "prefetch_mode"), "gpu", "is 'gpu'; expected one of cpu, cuda"),
        (("datasets", "train", "prefetch_mode"), "cuda", "cuda needs pin_memory: true"),
        (("datasets", "trian"), {"type": "PairedImageDataset"}, "datasets:trian: is not a phase"),
        (("network_g", "type"), "SemanIr", "did you mean 'SemanIR'?"),
        (("network_g", "type"), None, "network_g:type: is missing"),
        (("network_g", "top_k"), 26, "top_k=26 must be a whole number from 1 to the 25 tokens of a window"),
        (("network_g", "depths"), 6, "network_g:depths: is 6; expected a list of whole numbers"),
        (("network_g", "depths"), [2, "2"], "network_g:depths: is [2, '2']; expected"),
        (("network_g", "window_size"), "8", "network_g:window_size: is '8'; expected a whole number"),
        (("network_g", "window_size"), True, "network_g:window_size: is True; expected a whole number"),
        (("network_g", "top_k"), 1.5, "network_g:top_k: is 1.5; expected a whole number or ~"),
        (("network_g", "mlp_ratio"), "two", "network_g:mlp_ratio: is 'two'; expected a number"),
        (("network_g", "shift"), "both", "network_g:shift: is 'both'; expected"),
        (("network_g", "window_size"), 0, "window_size=0 must be at least 1 pixel"),
        (("network_g", "num_heads"), [4], "num_heads=4 does not divide the 6 channels"),
        (("network_g", "upscale"), 3, "network_g:upscale: is 3, but scale is 2; make them equal"),
        (
            ("train", "optim_g", "type"),
            "AdamX",
            "train:optim_g:type: 'AdamX' is not known; did you mean 'Adam",
        ),
        (("train", "optim_g", "lr"), "fast", "is 'fast'; expected a number from 0"),
        (("train", "scheduler"), {"type": "MultiStepLR"}, "milestones: is missing; MultiStepLR needs it"),
        (("train", "pixel_opt", "type"), "L3Loss", "did you mean 'L1Loss'?"),
        (("train", "total_iter"), "many", "is 'many'; expected a whole number of at least 1"),
        (("val", "metrics", "psnr", "type"), "pnsr", "type: 'pnsr' is not known; did you mean 'psnr"),
        (("num_gpu",), "two", "is 'two'; expected a whole number of at least 0"),
    ],
)
def test_what_cannot_work_gets_one_line(workplace, keys, value, message):
    lines = problems(changed(*keys, value=value))
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize("name", ["", ".", "..", "../data", "a/b", "/tmp/x", "a\0b", "x" * 300, 3, [1]])
@pytest.mark.parametrize("keys", [("name",), ("datasets", "val", "name"), ("val", "suffix")])
def test_names_cannot_lead_out_of_their_folder(workplace, keys, name):
    (line,) = problems(changed(*keys, value=name))
    assert f"{':'.join(keys)}: is {name!r}; expected a word that can name a folder" in line


@pytest.mark.parametrize(
    "keys, value, message",
    [
        (("train", "total_iter"), None, "train:total_iter: is missing"),
        (("train", "optim_g"), None, "train:optim_g: is missing"),
        (("train", "optim_g"), 3, "train:optim_g: must be a block of keys"),
        (("val", "metrics"), {"psnr": None}, "val:metrics:psnr: must be a block of keys"),
        (("train", "scheduler", "type"), ["MultiStepLR"], "train:scheduler:type"),
        (("train", "scheduler"), None, "train:scheduler: is missing"),
        (("train", "pixel_opt"), None, "train:pixel_opt: is missing: there is no loss"),
        (("datasets", "train", "use_hflip"), None, "datasets:train:use_hflip: is missing"),
        (("datasets",), {"val": {}}, "datasets: has no block train"),
        (("train", "total_iter"), float("nan"), "expected a whole number"),
        (("train", "total_iter"), 1.5, "expected a whole number"),
        (("train", "ema_decay"), 2, "train:ema_decay: is 2; expected a number from 0 to below 1"),
        (("datasets", "train", "batch_size_per_gpu"), 1e99, "expected a whole number"),
        (("manual_seed",), -5, "manual_seed: is -5; expected a whole number"),
        (
            ("val", "metrics", "psnr", "crop_border"),
            -1,
            "crop_border: is -1; expected a whole number of at least 0",
        ),
        (("val", "metrics", "psnr", "crop_border"), 200, "val:metrics:psnr: cannot work: gives nan"),
        (("val", "metrics"), ["psnr"], "val:metrics: is ['psnr']; expected a block of keys"),
        (("train", "optim_g", "betas"), 3, "train:optim_g:betas: is 3; expected a list of 2 numbers"),
        (
            ("train", "optim_g", "weight_decay"),
            -1,
            "train:optim_g:weight_decay: is -1; expected a number of at least 0",
        ),
        (("train", "optim_g"), {"type": "LBFGS", "lr": 1}, "train:optim_g: cannot work"),
        (("train", "scheduler", "milestones"), 3, "milestones: is 3; expected a list of whole numbers"),
        (("train", "pixel_opt", "reduction"), "foo", "is 'foo'; expected one of mean, sum"),
        (
            ("train", "scheduler"),
            {"type": "CosineAnnealingRestartLR", "periods": [2, 1]},
            "train:scheduler:periods: sum to 3, but total_iter is 4",
        ),
        (("model_type",), "SRModel", "is AdamW, but SRModel knows Adam only"),
        (("model_type",), "SRGANModel", "network_d: is missing; SRGANModel needs it"),
        (("network_g", "in_chans"), 1, "network_g:in_chans: is 1, but datasets:train gives 3 channels"),
        (("network_g", "embed_dim"), -6, "must be at least 1"),
        (("logger", "wandb"), {"project": "x"}, "needs the package wandb"),
        (("path",), {"experiments_root": "data"}, "path:experiments_root: unknown key"),
    ],
)
def test_what_would_fail_later_is_found_now(workplace, keys, value, message):
    lines = problems(changed(*keys, value=value))
    assert any(message in line for line in lines), lines


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


def test_all_problems_are_told_at_once(workplace):
    options = changed("train", "ema_deca", value=1)
    options["network_g"]["top_k"] = 0
    options["logger"]["print_frq"] = 3
    assert len(problems(options)) == 3


def test_basicsr_networks_are_checked_too(workplace):
    edsr = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "upscale": 2}
    assert problems(changed("network_g", value=edsr)) == []
    (line,) = problems(changed("network_g", value={"type": "EDSR", "num_in_ch": 3}))
    assert "num_out_ch: is missing; EDSR needs it" in line


def test_keys_that_a_class_looks_up_are_found_in_its_source():
    class Reader:
        def __init__(self, opt):
            train_opt = opt["train"]
            self.values = (
                opt["a"],
                opt["val"].get("b"),
                train_opt["c"],
                train_opt.get("d", {}).get("e"),
                opt.get(len),
            )

    found = keys_read(Reader)
    assert {("a",), ("val", "b"), ("train", "c"), ("train", "d", "e")} <= found
