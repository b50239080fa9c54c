"""Several datasets as one: which pictures come how often, and how its options are checked."""

import copy
import re
from collections import Counter

import pytest
import torch
import yaml
from picture_sets import block, opened, packed, random_pixels, refused, save
from picture_sets import write as write_three
from tiny import SEMANIR_UNET, tiny_options

from ir_plugins.checks import option_file
from ir_plugins.data import BayerDataset, GaussianNoiseDataset, JPEGDataset, MixedDataset, PairedDataset
from ir_plugins.data.checks import check_dataset
from ir_plugins.runtime.errors import UserError
from ir_plugins.training.order import Draw, Drawn


@pytest.fixture
def sets(tmp_path):
    """Rain, three pairs; snow, five pairs; noise on the GT of rain."""
    for side in ("gt", "lq"):
        write_three(tmp_path / f"rain/{side}", sizes=[(11, 13), (7, 17), (19, 5)], seed=ord(side[0]))
        for number in range(5):
            save(tmp_path / f"snow/{side}/{number}.png", random_pixels(9, 11, seed=number + ord(side[0])))
    rain = {"dataroot_gt": f"{tmp_path}/rain/gt", "dataroot_lq": f"{tmp_path}/rain/lq"}
    snow = {"dataroot_gt": f"{tmp_path}/snow/gt", "dataroot_lq": f"{tmp_path}/snow/lq"}
    noise = {"type": "GaussianNoiseDataset", "dataroot_gt": rain["dataroot_gt"], "sigma": 25}
    return {"rain": rain, "snow": snow, "noise": noise}


NAMES = [*(f"rain/{n}" for n in "abc"), *(f"snow/{n}" for n in range(5)), *(f"noise/{n}" for n in "abc")]


def weighted(sets, **weights):
    return {name: set_ | {"weight": weights[name]} for name, set_ in sets.items()}


@pytest.mark.parametrize("phase", ["train", "val"])
def test_without_weights_every_picture_comes_once(sets, phase):
    dataset = opened(MixedDataset, phase, sets=sets, count=11)
    assert len(dataset) == 11
    assert [dataset[n]["name"] for n in range(11)] == NAMES
    assert dataset.groups == [name.split("/")[0] for name in NAMES]


def test_items_are_those_of_the_sets(sets):
    alone = [
        *opened(PairedDataset, **sets["rain"]),
        *opened(PairedDataset, count=5, **sets["snow"]),
        *opened(GaussianNoiseDataset, **{k: v for k, v in sets["noise"].items() if k != "type"}),
    ]
    for item, own in zip(opened(MixedDataset, sets=sets, count=11), alone, strict=True):
        assert torch.equal(item["lq"], own["lq"]) and torch.equal(item["gt"], own["gt"])
        assert {key: item[key] for key in own if key not in ("lq", "gt", "name")} == {
            key: own[key] for key in own if key not in ("lq", "gt", "name")
        }


def test_weights_decide_how_often_a_set_comes(sets):
    mixed = weighted(sets, rain=1, snow=0.5, noise=2.5)
    dataset = opened(MixedDataset, "train", sets=mixed, count=11)
    assert len(dataset) == 11
    draws = [dataset[n % 11]["name"] for n in range(2200)]
    counts, pictures = Counter(name.split("/")[0] for name in draws), Counter(draws)
    assert [counts[name] / 2200 for name in sets] == pytest.approx([0.25, 0.125, 0.625], abs=0.04)
    assert set(pictures) == set(NAMES)
    for name in sets:  # alike often within a set
        own = [count for picture, count in pictures.items() if picture.startswith(name)]
        assert min(own) > 0.7 * max(own)


def test_weights_do_not_matter_in_validation(sets):
    dataset = opened(MixedDataset, sets=weighted(sets, rain=1, snow=9, noise=2), count=11)
    assert [item["name"] for item in dataset] == NAMES


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_loop_ends(sets, phase):
    dataset = opened(MixedDataset, phase, sets=weighted(sets, rain=1, snow=1, noise=1), count=11)
    assert sum(1 for _ in zip(range(99), dataset, strict=False)) == 11
    assert dataset[-1]["name"] in NAMES
    with pytest.raises(IndexError):
        dataset[11]


def test_what_is_drawn_follows_from_the_draw(sets):
    mixed = weighted(sets, rain=1, snow=1, noise=1)
    draws = [Draw(n % 11, 5, (0, 0, n)) for n in range(40)]
    first = [Drawn(opened(MixedDataset, "train", sets=mixed, count=11))[draw] for draw in draws]
    again = Drawn(opened(MixedDataset, "train", sets=mixed, count=11))
    for draw, item in zip(reversed(draws), reversed(first), strict=True):
        other = again[draw]
        assert other["name"] == item["name"] and torch.equal(other["lq"], item["lq"])
    assert len({item["name"] for item in first}) > 6


def test_the_patch_size_of_a_progressive_plan_reaches_every_set(sets):
    dataset = Drawn(opened(MixedDataset, "train", sets=sets, count=11))
    for size in (5, 7, 3):
        for index in range(11):
            item = dataset[Draw(index, size, (index,))]
            assert item["gt"].shape == item["lq"].shape == (3, size, size)


def test_a_set_takes_from_the_block_around_what_it_leaves_out(sets):
    around = {"dataroot_gt": sets["rain"]["dataroot_gt"], "color": "y"}
    mixed = {"rain": {"dataroot_lq": sets["rain"]["dataroot_lq"]}, "noise": sets["noise"]}
    dataset = opened(MixedDataset, sets=mixed, count=6, **around)
    assert MixedDataset.channels(dataset.opt) == 1 == len(dataset[0]["lq"]) == len(dataset[5]["lq"])
    mixed["noise"] = mixed["noise"] | {"dataroot_gt": sets["snow"]["dataroot_gt"]}
    assert len(opened(MixedDataset, sets=mixed, count=8, **around)) == 8


def test_sets_may_be_stored_apart(sets):
    mixed = sets | {"snow": packed(sets["snow"])}
    for item, other in zip(
        opened(MixedDataset, sets=sets, count=11), opened(MixedDataset, sets=mixed, count=11), strict=True
    ):
        assert item["name"] == other["name"] and torch.equal(item["lq"], other["lq"])


# -- faults, on the disk and in the options


def test_faults_on_the_disk_name_the_set(sets, tmp_path):
    (tmp_path / "snow/lq/3.png").write_bytes(b"")
    assert refused(MixedDataset, sets=sets).startswith("datasets:x:sets:snow:dataroot_lq: 1 of 5 images")
    (tmp_path / "snow/lq/3.png").unlink()
    message = refused(MixedDataset, sets=sets)
    assert message.startswith("datasets:x:sets:snow: pictures do not pair") and "lacks 1: 3;" in message
    sets["rain"]["dataroot_gt"] = "nowhere"
    assert refused(MixedDataset, sets=sets).startswith("datasets:x:sets:rain:dataroot_gt: nowhere does not")


def checked(mixed, workplace, phase="val", net=3, **around):
    """The lines of `basicsr check` about a mixed dataset."""
    options = tiny_options() | {"scale": 1}
    options["network_g"] = {"type": "SemanIRUNet", "in_chans": net, **SEMANIR_UNET}
    for each in options["datasets"].values():
        each["type"] = "PairedDataset"
    kept = {k: v for k, v in options["datasets"][phase].items() if not k.startswith("dataroot")}
    options["datasets"][phase] = (
        kept | {"type": "MixedDataset"} | around | ({} if mixed is None else {"sets": mixed})
    )
    (workplace / "o.yml").write_text(yaml.safe_dump(options, sort_keys=False))
    try:
        option_file.check(options, "o.yml", is_train=True)
    except UserError as error:
        return [line.partition(": ")[2] for line in str(error).splitlines()]
    return []


@pytest.mark.parametrize("phase", ["train", "val"])
def test_sound_sets_pass(sets, workplace, phase):
    assert checked(sets, workplace, phase) == []
    assert checked(weighted(sets, rain=1, snow=2, noise=0.5), workplace, phase) == []


BAD = [
    (lambda s: None, "sets", "is missing"),
    (lambda s: {}, "sets", "must be a block of datasets' blocks"),
    (lambda s: [s["rain"]], "sets", "expected a block of keys"),
    (lambda s: s | {"rain": "data/rain"}, "sets", "must be a block of datasets' blocks"),
    (lambda s: s | {"rain": None}, "sets", "must be a block of datasets' blocks"),
    (lambda s: weighted(s, rain=1, snow=0, noise=1), "sets:snow:weight", "is 0; expected a number above 0"),
    (lambda s: weighted(s, rain=1, snow="a", noise=1), "sets:snow:weight", "expected a number above 0"),
    (lambda s: weighted(s, rain=1, snow=True, noise=1), "sets:snow:weight", "expected a number above 0"),
    (lambda s: weighted(s, rain=None, snow=1, noise=1), "sets:rain", "has no weight, but others have"),
    (
        lambda s: s | {"noise": s["noise"] | {"type": "GausianNoiseDataset"}},
        "sets:noise:type",
        "'GausianNoiseDataset' is not known; did you mean 'GaussianNoiseDataset'?",
    ),
    (lambda s: s | {"rain": s["rain"] | {"type": "PairedImageDataset"}}, "sets:rain:type", "did you mean"),
    (lambda s: s | {"rain": s["rain"] | {"type": ["PairedDataset"]}}, "sets:rain:type", "is not known"),
    (lambda s: s | {"more": {"type": "MixedDataset", "sets": s}}, "sets:more:type", "is not known"),
    (lambda s: s | {"rain": {"dataroot_gt": "gt"}}, "sets:rain:dataroot_lq", "is missing"),
    (lambda s: s | {"snow": {}}, "sets:snow:dataroot_gt", "is missing"),
    (lambda s: s | {"noise": s["noise"] | {"sigma": None}}, "sets:noise:sigma", "is missing; write a number"),
    (lambda s: s | {"noise": s["noise"] | {"sigma": -3}}, "sets:noise:sigma", "expected a number from 0"),
    (
        lambda s: s | {"rain": s["rain"] | {"dataroot_gtt": "x"}},
        "sets:rain:dataroot_gtt",
        "unknown key; did you mean 'dataroot_gt'?",
    ),
    (lambda s: s | {"rain": s["rain"] | {"sigma": 5}}, "sets:rain:sigma", "unknown key"),
    (
        lambda s: s | {"rain": s["rain"] | {"io_backend": {"type": "zip"}}},
        "sets:rain:io_backend",
        "must be {type: disk} or {type: lmdb}",
    ),
    (
        lambda s: s | {"snow": s["snow"] | {"color": "grey"}},
        "sets:snow:color",
        "expected one of rgb, gray, y",
    ),
    (
        lambda s: s | {"snow": s["snow"] | {"color": "gray"}},
        "sets:snow",
        "gives 1 channels, but rain 3; all must give as many",
    ),
    (lambda s: s | {"2": {"dataroot_gt": "gt"}}, "sets:2:dataroot_lq", "is missing"),
]


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize("change, key, says", BAD)
def test_faults_in_the_options_name_the_set(sets, workplace, phase, change, key, says):
    lines = checked(change(copy.deepcopy(sets)), workplace, phase)
    assert lines and lines[0].startswith(f"datasets:{phase}:{key}: ") and says in lines[0], lines
    assert all(line.startswith(f"datasets:{phase}:sets") for line in lines)


def test_outer_keys_are_checked_too(sets, workplace):
    (line,) = checked(sets, workplace, bts=16)
    assert line == "datasets:val:bts: unknown key; did you mean 'bits'?"
    lines = checked(sets, workplace, color="grey")
    assert "datasets:val:color: is 'grey'; expected one of rgb, gray, y" in lines


def test_the_network_takes_as_many_channels(sets, workplace):
    (line,) = checked(sets, workplace, net=1)
    assert re.fullmatch(r"network_g:in_chans: is 1, but datasets:(train|val) gives 3 channels", line)


def test_the_constructor_says_the_same(sets):
    for change, key, _ in BAD:
        if change(sets) is not None:
            with pytest.raises(UserError, match=f"^{key}: "):
                MixedDataset(block(MixedDataset, sets=change(copy.deepcopy(sets))))


@pytest.mark.parametrize("kind, level", [(JPEGDataset, {"quality": 30}), (BayerDataset, {})])
def test_any_of_our_datasets_may_be_a_set(sets, kind, level):
    other = {"type": kind.__name__, "dataroot_gt": sets["snow"]["dataroot_gt"]} | level
    dataset = opened(MixedDataset, "train", sets={"rain": sets["rain"], "other": other}, count=8)
    assert dataset[7]["name"] == "other/4" and dataset[7]["lq"].shape == (3, 4, 4)


def test_scale_1_sets_are_refused_at_another_scale(sets):
    with pytest.raises(
        UserError, match=r"^sets:noise:type: is GaussianNoiseDataset, which knows scale 1 only"
    ):
        MixedDataset(block(MixedDataset, sets=sets) | {"scale": 2})
    assert check_dataset("datasets:x", block(MixedDataset, sets={"rain": sets["rain"]})) == 3
