"""Pairs against BasicSR's dataset on the same files, and 16 bits against the files themselves."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from picture_sets import (
    STORAGES,
    as_tensor,
    block,
    opened,
    packed,
    random_pixels,
    refused,
    save,
    stored,
    windows,
)
from picture_sets import write as write_three

from ir_plugins.data import DualPixelDataset, PairedDataset
from ir_plugins.runtime.errors import UserError

from basicsr.data.paired_image_dataset import PairedImageDataset

SIZES = [(11, 13), (7, 17), (19, 5)]


def save_pairs(folder, scale, spare=0):
    """GT is `scale` times LQ, and `spare` pixels more."""
    larger = [(scale * h + spare, scale * w + spare) for h, w in SIZES]
    gt = write_three(folder / "gt", sizes=larger)
    lq = write_three(folder / "lq", sizes=SIZES, seed=1)
    roots = {"dataroot_gt": str(folder / "gt"), "dataroot_lq": str(folder / "lq"), "scale": scale}
    return roots, gt, lq


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("scale, spare", [(1, 0), (2, 1), (3, 2), (4, 1)])
def test_validation_is_basicsrs(tmp_path, scale, spare, storage):
    options, *_ = save_pairs(tmp_path, scale, spare)
    theirs = PairedImageDataset(block(PairedImageDataset, **options | {"io_backend": {"type": "disk"}}))
    options = block(PairedDataset, **stored(options, storage))
    ours = PairedDataset(options)
    assert len(ours) == len(theirs) == 3
    by_name = {Path(item["gt_path"]).stem: item for item in theirs}
    for item in ours:
        expected = by_name[item["name"]]
        assert torch.equal(item["lq"], expected["lq"]) and torch.equal(item["gt"], expected["gt"])


def test_luma_is_basicsrs_rounded(tmp_path):
    """BasicSR keeps the fractions; a file of luma, as MATLAB would have saved it, has none."""
    options = save_pairs(tmp_path, 2)[0] | {"color": "y"}
    theirs = {
        Path(item["gt_path"]).stem: item for item in PairedImageDataset(block(PairedImageDataset, **options))
    }
    for item in opened(PairedDataset, **options):
        for key in ("lq", "gt"):
            off = (item[key] - theirs[item["name"]][key]) * 255
            assert 0.2 < off.abs().max() < 0.5001


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("scale", [1, 3])
def test_training_is_basicsrs(tmp_path, scale, hflip, rotate):
    """The same random numbers cut and turn the same patch."""
    options, *_ = save_pairs(tmp_path, scale)
    options |= {"gt_size": 5 * scale, "use_hflip": hflip, "use_rot": rotate}
    ours = opened(PairedDataset, "train", **options)
    theirs = PairedImageDataset(block(PairedImageDataset, "train", **options))
    order = {Path(pair["gt_path"]).stem: index for index, pair in enumerate(theirs.paths)}
    for n in range(60):
        random.seed(n)
        item = ours[n % 3]
        random.seed(n)
        expected = theirs[order[item["name"]]]
        assert torch.equal(item["lq"], expected["lq"]) and torch.equal(item["gt"], expected["gt"])


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_window_comes_and_gt_shows_the_same(tmp_path, scale, storage):
    options, gts, lqs = save_pairs(tmp_path, scale)
    options = block(PairedDataset, "train", **stored(options, storage) | {"gt_size": 4 * scale})
    dataset, seen = PairedDataset(options), set()
    for _ in range(300):
        item = dataset[2]  # 19 x 5
        (place,) = [at for at, window in windows(lqs[2], 4) if torch.equal(window, item["lq"])]
        y, x = (n * scale for n in place)
        assert torch.equal(item["gt"], gts[2][:, y : y + 4 * scale, x : x + 4 * scale])
        seen.add(place)
    assert seen == {(y, x) for y in range(16) for x in range(2)}


def test_pairs_of_other_endings_and_folders(tmp_path):
    gt, lq = random_pixels(11, 13), random_pixels(11, 13, seed=1)
    save(tmp_path / "gt/in door/ä.PNG", gt)
    save(tmp_path / "lq/in door/ä x.bmp", lq)
    options = {"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq")}
    dataset = opened(PairedDataset, **options, filename_tmpl="{} x", count=1)
    assert dataset.groups == ["in door"] and dataset[0]["name"] == "in door/ä"
    assert torch.equal(dataset[0]["gt"], as_tensor(gt)) and torch.equal(dataset[0]["lq"], as_tensor(lq))
    assert dataset[0]["lq_path"] == f"{tmp_path}/lq/in door/ä x.bmp"


@pytest.mark.parametrize("storage", STORAGES)
def test_spads_list(tmp_path, storage):
    """One folder for both kinds, two columns, several rainy pictures of one scene."""
    pictures = {
        name: save(tmp_path / f"SPAD/{name}.png", random_pixels(11, 13, seed=seed))
        for seed, name in enumerate(["rain/1_0", "rain/1_1", "rain/2 b", "gt/1", "gt/2"])
    }
    pairs = [("rain/2 b", "gt/2"), ("rain/1_1", "gt/1"), ("rain/1_0", "gt/1")]
    (tmp_path / "list.txt").write_text("".join(f"/{lq}.png /{gt}.png\n" for lq, gt in pairs))
    options = dict.fromkeys(("dataroot_gt", "dataroot_lq"), str(tmp_path / "SPAD"))
    options = stored(options, storage) | {"meta_info_file": str(tmp_path / "list.txt")}
    dataset = PairedDataset(block(PairedDataset, **options))
    assert len(dataset) == 3
    names = ["gt/2", "rain/1_0", "rain/1_1"]  # GT's, or LQ's where several have one GT
    for item, name, (lq, gt) in zip(dataset, names, [pairs[0], pairs[2], pairs[1]], strict=True):
        assert torch.equal(item["lq"], as_tensor(pictures[lq]))
        assert torch.equal(item["gt"], as_tensor(pictures[gt]))
        assert item["name"] == name


def test_a_list_that_names_what_is_not_there(tmp_path):
    options, *_ = save_pairs(tmp_path, 1)
    (tmp_path / "list.txt").write_text("lq/a.png gt/a.png\nlq/z.png gt/y.png\n")
    options |= dict.fromkeys(("dataroot_gt", "dataroot_lq"), str(tmp_path))
    message = refused(PairedDataset, **options, meta_info_file=str(tmp_path / "list.txt"))
    assert "dataroot_lq: 1 of 2 images" in message and "lq/z.png (no such file or directory)" in message
    (tmp_path / "list.txt").write_text("a.png\nz.png\n")
    message = refused(PairedDataset, **save_pairs(tmp_path, 1)[0], meta_info_file=str(tmp_path / "list.txt"))
    assert "lacks 1: z;" in message


@pytest.mark.parametrize(
    "size, train, val",
    [((33, 39), True, True), ((34, 41), False, True), ((36, 39), False, False), ((32, 39), False, False)],
)
@pytest.mark.parametrize("phase", ["train", "val"])
def test_sizes_that_do_not_fit(tmp_path, size, train, val, phase):
    options, *_ = save_pairs(tmp_path, 3)
    save(tmp_path / "gt/b.png", random_pixels(*size))  # LQ: 11 x 13
    if train if phase == "train" else val:
        opened(PairedDataset, phase, **options | {"gt_size": 6})[1]
        return
    message = refused(PairedDataset, phase, **options | {"gt_size": 6})
    assert f"GT is not 3 times LQ in 1 of 3 pairs: b.png (GT {size[0]}x{size[1]}, LQ 11x13)" in message
    with pytest.raises(UserError, match=r"gt/b.png: GT of \d+x\d+ and LQ of 11x13 are no pair of scale 3"):
        PairedDataset(block(PairedDataset, phase, **options | {"gt_size": 6}))[1]


def test_a_patch_must_be_a_multiple_of_the_scale(tmp_path):
    options, *_ = save_pairs(tmp_path, 3)
    message = refused(PairedDataset, "train", **options, gt_size=7)
    assert message == "datasets:x:gt_size: 7 is no multiple of scale 3; take one"


# -- 16 bits


def save_16_bits(tmp_path, folders, dtype=np.uint16):
    return [write_three(tmp_path / name, dtype, SIZES, seed=seed) for seed, name in enumerate(folders)]


@pytest.mark.parametrize("storage", STORAGES)
def test_16_bits_are_kept_if_told_so(tmp_path, storage):
    gts, lqs = save_16_bits(tmp_path, ["gt", "lq"])
    options = {"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq")}
    options = stored(options, storage)
    for item, gt, lq in zip(PairedDataset(block(PairedDataset, bits=16, **options)), gts, lqs, strict=True):
        assert torch.equal(item["gt"], gt) and torch.equal(item["lq"], lq)
    for item, name in zip(PairedDataset(block(PairedDataset, bits=8, **options)), "abc", strict=True):
        eight = cv2.imread(f"{tmp_path}/gt/{name}.png")
        assert eight.dtype == np.uint8 and torch.equal(item["gt"], as_tensor(eight))


def test_8_bits_are_refused_where_16_are_wanted(tmp_path):
    save_16_bits(tmp_path, ["gt", "lq"])
    save(tmp_path / "lq/b.png", random_pixels(*SIZES[0]))
    options = {"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq"), "bits": 16}
    for variant in (options, packed(options)):
        message = refused(PairedDataset, **variant)
        assert message.startswith("datasets:x:dataroot_lq: 1 of 3 images") and "16 bits" in message
        assert ("b.png (3 of 8)" if variant is options else "b (3 of 8)") in message
        with pytest.raises(UserError, match="has 3 channels of 8 bits; PairedDataset needs 3 of 16"):
            PairedDataset(block(PairedDataset, **variant))[1]


def test_16_bits_are_colour():
    options = block(PairedDataset, bits=16, color="y", dataroot_gt="gt", dataroot_lq="lq")
    assert [key for key, _ in PairedDataset.option_problems(options)] == ["color"]


@pytest.mark.parametrize("storage", STORAGES)
def test_dual_pixels_whole(tmp_path, storage):
    left, right, gt = save_16_bits(tmp_path, ["left", "right", "gt"])
    folders = {"dataroot_lqL": "left", "dataroot_lqR": "right", "dataroot_gt": "gt"}
    options = {key: str(tmp_path / folder) for key, folder in folders.items()}
    assert DualPixelDataset.channels(options) == 6
    dataset = DualPixelDataset(block(DualPixelDataset, **stored(options, storage)))
    for item, *views, sharp in zip(dataset, left, right, gt, strict=True):
        assert torch.equal(item["lq"], torch.cat(views)) and torch.equal(item["gt"], sharp)
        assert (item["gt"] * 65535 % 257 != 0).any()  # more than 8 bits
        assert item["lq_path"] == item["lqL_path"] != item["lqR_path"] or storage != "disk"


@pytest.mark.parametrize("storage", STORAGES)
def test_both_views_and_gt_are_cut_and_turned_alike(tmp_path, storage):
    for folder in ("left", "right", "gt"):  # of one scene each pixel tells where it lies
        for number, (h, w) in enumerate(SIZES):
            places = np.arange(h * w, dtype=np.uint16).reshape(h, w, 1) * 199
            save(tmp_path / f"{folder}/{number}.png", np.repeat(places, 3, 2))
    folders = {"dataroot_lqL": "left", "dataroot_lqR": "right", "dataroot_gt": "gt"}
    options = stored({key: str(tmp_path / folder) for key, folder in folders.items()}, storage)
    dataset = DualPixelDataset(
        block(DualPixelDataset, "train", **options | {"use_hflip": True, "use_rot": True})
    )
    seen = set()
    for n in range(120):
        item = dataset[n % 3]
        assert item["lq"].shape == (6, 4, 4)
        assert torch.equal(item["lq"][:3], item["gt"]) and torch.equal(item["lq"][3:], item["gt"])
        seen.add(item["gt"].numpy().tobytes())
    assert len(seen) > 80


def test_16_bits_of_one_channel_are_refused_before_a_run(tmp_path):
    for folder in ("gt", "lq"):
        save(tmp_path / folder / "a.png", random_pixels(11, 13, 1, np.uint16))
    roots = {"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq")}
    assert "a.png (1 of 16)" in refused(PairedDataset, **roots, bits=16)
