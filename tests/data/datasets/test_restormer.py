"""Restormer's three datasets: what an item holds, compared with the files themselves."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from children import SERVER
from picture_sets import SIZES, opened, packed, refused, windows, write
from torch.utils.data import DataLoader

from ir_plugins.data import (
    Dataset_DefocusDeblur_DualPixel_16bit,
    Dataset_GaussianDenoising,
    Dataset_PairedImage,
)
from ir_plugins.runtime.errors import UserError


@pytest.fixture
def pairs(tmp_path):
    """Options and pictures of three pairs, GT twice as large as LQ."""
    gt = write(tmp_path / "gt", sizes=[(2 * h, 2 * w) for h, w in SIZES])
    lq = write(tmp_path / "lq", seed=1)
    return {"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq"), "scale": 2}, gt, lq


@pytest.mark.parametrize("backend", ["disk", "lmdb"])
def test_pairs_are_read_whole_and_in_the_order_of_their_names(pairs, backend):
    options, gts, lqs = pairs
    dataset = opened(Dataset_PairedImage, **(options if backend == "disk" else packed(options)))
    assert len(dataset) == 3
    for item, gt, lq, name in zip(dataset, gts, lqs, "abc", strict=False):
        assert torch.equal(item["gt"], gt) and torch.equal(item["lq"], lq)
        assert Path(item["gt_path"]).stem == Path(item["lq_path"]).stem == name


def test_validation_cuts_a_gt_that_is_no_multiple_of_the_scale(tmp_path):
    gt = write(tmp_path / "gt", sizes=[(23, 27), (15, 35), (39, 11)])
    write(tmp_path / "lq", seed=1)
    dataset = opened(Dataset_PairedImage, dataroot_gt=f"{tmp_path}/gt", dataroot_lq=f"{tmp_path}/lq", scale=2)
    assert torch.equal(dataset[1]["gt"], gt[1][:, :22, :26])


def test_every_window_of_a_pair_comes_and_gt_and_lq_show_the_same(pairs):
    options, gts, lqs = pairs
    dataset = opened(Dataset_PairedImage, "train", **options, filename_tmpl="{}", use_shuffle=True)
    index = 2  # 19 x 5 pixels
    seen = set()
    for _ in range(600):
        item = dataset[index]
        (at,) = [place for place, window in windows(lqs[index], 2) if torch.equal(window, item["lq"])]
        (y, x) = at
        assert torch.equal(item["gt"], gts[index][:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4])
        seen.add(at)
    assert seen == {(y, x) for y in range(18) for x in range(4)}  # the last offsets too


def test_the_eight_modes_come_alike_often_and_turn_both_pictures(tmp_path):
    (picture, *_) = write(tmp_path / "gt", sizes=[(5, 5)] * 3)
    options = {"dataroot_gt": f"{tmp_path}/gt", "dataroot_lq": f"{tmp_path}/gt", "gt_size": 5}
    dataset = opened(Dataset_PairedImage, "train", **options | {"geometric_augs": True})
    modes = [m for k in range(4) for turned in [picture.rot90(k, (1, 2))] for m in (turned, turned.flip(2))]
    counts = [0] * 8
    for _ in range(400):
        item = dataset[0]
        assert torch.equal(item["lq"], item["gt"])
        counts[next(i for i, mode in enumerate(modes) if torch.equal(mode, item["gt"]))] += 1
    assert min(counts) > 25 and sum(counts) == 400


@pytest.mark.parametrize("backend", ["disk", "lmdb"])
def test_a_small_picture_is_filled_up_by_reflection(pairs, backend):
    options, _, lqs = pairs
    options = (options if backend == "disk" else packed(options)) | {"gt_size": 40}
    item = opened(Dataset_PairedImage, "train", **options)[1]  # 11 x 13 pixels
    filled = cv2.copyMakeBorder(lqs[1].permute(1, 2, 0).numpy(), 0, 9, 0, 7, cv2.BORDER_REFLECT)
    assert torch.equal(item["lq"], torch.from_numpy(filled).permute(2, 0, 1))
    assert item["gt"].shape == (3, 40, 40)
    item = opened(Dataset_PairedImage, "train", **options | {"gt_size": 90})[2]  # five pixels become 45
    assert item["lq"].shape == (3, 45, 45)


def test_a_list_of_names_is_followed(pairs, tmp_path):
    options, _, lqs = pairs
    (tmp_path / "meta.txt").write_text("c.png (38,10,3)\na.png (14,34,3)\n")
    options |= {"meta_info_file": str(tmp_path / "meta.txt")}
    dataset = Dataset_PairedImage({"phase": "val", "io_backend": {"type": "disk"}} | options)
    assert [pairing.files["gt"] for pairing in dataset.pairings] == ["a.png", "c.png"]
    assert torch.equal(dataset[1]["lq"], lqs[2])
    alone = {"dataroot_gt": options["dataroot_gt"], "sigma_test": 0, "phase": "val"}
    alone |= {"io_backend": {"type": "disk"}, "meta_info_file": options["meta_info_file"]}
    assert len(Dataset_GaussianDenoising(alone)) == 2


@pytest.mark.parametrize("start", ["fork", SERVER], ids=["fork", "fresh"])
def test_workers_read_an_lmdb(pairs, start):
    dataset = opened(Dataset_PairedImage, "train", **packed(pairs[0]))
    dataset[0]  # opened here already
    loader = DataLoader(dataset, batch_size=3, num_workers=1, multiprocessing_context=start)
    (batch,) = loader
    assert batch["lq"].shape == (3, 3, 2, 2) and batch["gt"].shape == (3, 3, 4, 4)


# -- Gaussian noise


@pytest.fixture
def clean(tmp_path):
    return {"dataroot_gt": f"{tmp_path}/gt", "dataroot_lq": "none"}, write(tmp_path / "gt")


def level(item):
    """The standard deviation of an item's noise, on the scale of 0 to 255."""
    return float((item["lq"] - item["gt"]).std()) * 255


def test_constant_noise_is_white_fresh_and_not_clipped(clean):
    options, _ = clean
    options |= {"in_ch": 3, "sigma_type": "constant", "sigma_range": 25, "gt_size": 101}
    dataset = opened(Dataset_GaussianDenoising, "train", **options)
    first, second = dataset[0], dataset[0]
    noise, other = first["lq"] - first["gt"], second["lq"] - second["gt"]
    assert noise.shape == (3, 101, 101)
    assert level(first) == pytest.approx(25, rel=0.02) and abs(noise.mean()) < 0.002
    assert abs(torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]) < 0.03
    assert abs(torch.corrcoef(torch.stack([noise[0].flatten(), noise[1].flatten()]))[0, 1]) < 0.05
    assert first["lq"].min() < 0 and first["lq"].max() > 1
    assert (first["lq"] * 255).frac().abs().max() > 0.01  # not rounded


def test_noise_levels_are_drawn_between_or_from(clean):
    options, _ = clean
    options |= {"gt_size": 61, "sigma_type": "random", "sigma_range": [10, 50]}
    dataset = opened(Dataset_GaussianDenoising, "train", **options)
    levels = [level(dataset[0]) for _ in range(100)]
    assert 9 < min(levels) < 14 and 46 < max(levels) < 52 and 26 < np.mean(levels) < 34
    dataset = opened(
        Dataset_GaussianDenoising, "train", **options | {"sigma_type": "choice", "sigma_range": [15, 50]}
    )
    assert {round(level(dataset[0]) / 5) * 5 for _ in range(30)} == {15, 50}


@pytest.mark.parametrize("backend", ["disk", "lmdb"])
@pytest.mark.parametrize("in_ch", [1, 3])
def test_test_noise_depends_on_the_picture_alone(clean, in_ch, backend):
    options, pictures = clean
    options |= {"in_ch": in_ch, "sigma_test": 15}
    dataset = opened(Dataset_GaussianDenoising, **(options if backend == "disk" else packed(options)))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = [dataset[index] for index in range(3)]
    assert random.getstate() == before[0] and np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    torch.manual_seed(99)
    again = opened(Dataset_GaussianDenoising, **options)
    for index in (2, 0, 1):  # in another order
        assert torch.equal(again[index]["lq"], first[index]["lq"])
    for item in first:  # as in Restormer's test scripts: the same numbers for every picture, H, W, C
        c, h, w = item["gt"].shape
        noise = np.random.RandomState(0).normal(0, 15 / 255, (h, w, c)).transpose(2, 0, 1)
        np.testing.assert_allclose((item["lq"] - item["gt"]).numpy(), noise, atol=2e-7)
    assert level(first[1]) == pytest.approx(15, rel=0.2)
    if in_ch == 3:
        assert torch.equal(first[1]["gt"], pictures[1])
    else:
        gray = cv2.imread(f"{options['dataroot_gt']}/b.png", cv2.IMREAD_GRAYSCALE)
        assert torch.equal(first[1]["gt"], torch.from_numpy(gray / np.float32(255))[None])
    assert first[1]["lq_path"] == first[1]["gt_path"]


# -- dual pixels


@pytest.fixture
def dual(tmp_path):
    """Options and the pictures of the left view, the right one and GT."""
    keys = {"dataroot_lqL": "L", "dataroot_lqR": "R", "dataroot_gt": "gt"}
    pictures = [write(tmp_path / name, np.uint16, seed=seed) for seed, name in enumerate(keys.values())]
    return {key: str(tmp_path / name) for key, name in keys.items()}, pictures


@pytest.mark.parametrize("backend", ["disk", "lmdb"])
def test_dual_pixels_keep_their_sixteen_bits(dual, backend):
    options, (left, right, gt) = dual
    if backend == "lmdb":
        options = packed(options)
    dataset = opened(Dataset_DefocusDeblur_DualPixel_16bit, **options)
    for index in range(3):
        item = dataset[index]
        assert torch.equal(item["lq"], torch.cat([left[index], right[index]]))
        assert torch.equal(item["gt"], gt[index])
        assert item["lq_path"] == item["lqL_path"] and item["lqR_path"] and item["gt_path"]


def test_both_views_and_gt_are_cut_and_turned_alike(dual, tmp_path):
    options, _ = dual
    options = dict.fromkeys(options, str(tmp_path / "gt"))
    dataset = opened(Dataset_DefocusDeblur_DualPixel_16bit, "train", **options, geometric_augs=True)
    for index in (0, 1, 2, 2, 1, 0):
        item = dataset[index]
        assert item["lq"].shape == (6, 4, 4)
        assert torch.equal(item["lq"][:3], item["gt"]) and torch.equal(item["lq"][3:], item["gt"])


@pytest.mark.parametrize("key", ["dataroot_lqL", "dataroot_lqR", "dataroot_gt"])
def test_an_8_bit_picture_among_dual_pixels_is_named(dual, key):
    options, _ = dual
    file = Path(options[key], "b.png")
    cv2.imwrite(str(file), cv2.imread(str(file)))
    message = refused(Dataset_DefocusDeblur_DualPixel_16bit, **options)
    assert message.startswith(f"datasets:x:{key}: 1 of 3 images in ") and "16 bits" in message
    assert "b.png (3 of 8)" in message and "PairedDataset" in message
    dataset = Dataset_DefocusDeblur_DualPixel_16bit(
        options | {"phase": "val", "io_backend": {"type": "disk"}}
    )
    with pytest.raises(UserError, match=r"b.png has 3 channels of 8 bits; .* needs 3 of 16"):
        dataset[1]


@pytest.mark.parametrize("flag", [cv2.IMREAD_GRAYSCALE, cv2.IMREAD_COLOR])
def test_a_gray_or_transparent_picture_among_dual_pixels_is_named(dual, flag):
    options, _ = dual
    file = Path(options["dataroot_gt"], "a.png")
    pixels = cv2.imread(str(file), flag | cv2.IMREAD_ANYDEPTH)
    cv2.imwrite(str(file), pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA))
    dataset = Dataset_DefocusDeblur_DualPixel_16bit(
        options | {"phase": "val", "io_backend": {"type": "disk"}}
    )
    with pytest.raises(UserError, match=r"a.png has [14] channels of 16 bits"):
        dataset[0]


# -- the user's mistakes: found before a run


@pytest.mark.parametrize("key", ["dataroot_lqL", "dataroot_lqR", "dataroot_gt"])
def test_folders_of_dual_pixels_must_be_there_and_match(dual, key):
    options, _ = dual
    kind = Dataset_DefocusDeblur_DualPixel_16bit
    assert "nowhere does not exist" in refused(kind, **options | {key: "nowhere"})
    Path(options[key], "a.png").rename(Path(options[key], "z.png"))
    message = refused(kind, **options)
    assert "do not pair" in message and "lacks 1: " in message and key in message
    assert ("one for z.png" if key != "dataroot_gt" else "one for a.png") in message
    Path(options[key], "z.png").rename(Path(options[key], "a.png"))
    file = Path(options[key], "b.png")
    cv2.imwrite(str(file), np.zeros((3, 3, 3), np.uint16))
    assert "GT is not 1 times LQ" in refused(kind, **options)


def test_folders_of_the_others_must_be_there(pairs):
    options, _, _ = pairs
    assert "nowhere does not exist" in refused(Dataset_PairedImage, **options | {"dataroot_lq": "nowhere"})
    options = {"dataroot_gt": "nowhere", "dataroot_lq": "none"}
    assert ":dataroot_gt: nowhere does not exist" in refused(Dataset_GaussianDenoising, **options)


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize(
    "changes, key, says",
    [
        ({"in_ch": 4}, "in_ch", "is 4; expected one of 1, 3"),
        ({"dataroot_lq": "data/noisy"}, "dataroot_lq", "must be none: the noise is made here"),
        ({"dataroot_gt": "none"}, "dataroot_gt", "is none, which only"),
        ({"scale": 2}, "type", "knows scale 1 only, but scale is 2"),
        ({"geometric_augs": "yes"}, "geometric_augs", "is 'yes'; expected true or false"),
        ({"sigma_type": "uniform"}, "sigma_type", "is 'uniform'; expected constant, random or choice"),
        ({"sigma_type": None}, "sigma_type", "is None; expected"),
        ({"sigma_range": None}, "sigma_range", "sigma_type constant takes a number"),
        ({"sigma_range": [15, 25]}, "sigma_range", "sigma_type constant takes a number"),
        ({"sigma_range": -1}, "sigma_range", "is -1; sigma_type constant"),
        ({"sigma_type": "random"}, "sigma_range", "is 25; sigma_type random takes the least"),
        ({"sigma_type": "random", "sigma_range": [50, 0]}, "sigma_range", "[50, 0]; sigma_type random"),
        ({"sigma_type": "choice"}, "sigma_range", "is 25; sigma_type choice takes a list"),
        ({"sigma_type": "choice", "sigma_range": []}, "sigma_range", "[]; sigma_type choice"),
        ({"sigma_type": "choice", "sigma_range": ["a"]}, "sigma_range", "['a']; sigma_type choice"),
        ({"sigma_test": None}, "sigma_test", "is missing; expected a number from 0, such as 25"),
        ({"sigma_test": True}, "sigma_test", "is True; expected a number"),
        ({"sigma_test": float("nan")}, "sigma_test", "is nan; expected a number"),
    ],
)
def test_noise_options_that_cannot_work(phase, changes, key, says):
    options = {"dataroot_gt": "data", "dataroot_lq": "none", "phase": phase, "sigma_test": 25}
    options |= {"sigma_type": "constant", "sigma_range": 25}
    assert list(Dataset_GaussianDenoising.option_problems(options)) == []
    found = list(Dataset_GaussianDenoising.option_problems(options | changes))
    of_the_other_phase = (key == "sigma_test") == (phase == "train")
    if key.startswith("sigma") and of_the_other_phase and changes.get("sigma_test") is None:
        assert found == []  # not looked at in this phase
        return
    ((named, text),) = found
    assert named == key and says in text
    with pytest.raises(UserError, match=f"^{key}: "):
        Dataset_GaussianDenoising(options | changes)


def test_pairs_without_lq_are_refused():
    options = {"dataroot_gt": "data", "dataroot_lq": "none", "phase": "val"}
    ((key, text),) = Dataset_PairedImage.option_problems(options)
    assert key == "dataroot_lq" and "Dataset_GaussianDenoising" in text
