"""Small copies made while reading against those of scripts/prepare_sr.py, bit for bit."""

import cv2
import numpy as np
import prepare_sr
import pytest
import torch
from picture_sets import STORAGES, block, opened, random_pixels, save, stored, windows

from ir_plugins.data import BicubicDataset, PairedDataset
from ir_plugins.data.resize import imresize
from ir_plugins.pictures.colour import in_colour
from ir_plugins.pictures.window import Window

SIZES = {"a.png": (47, 61), "b.bmp": (26, 37), "c.png": (24, 60)}
COLOURS = ["rgb", "gray", "y"]


@pytest.fixture
def originals(tmp_path):
    """Noise, so that every pixel's place can be told, and hard edges, which overshoot."""
    for seed, (name, size) in enumerate(SIZES.items()):
        save(tmp_path / "original" / name, random_pixels(*size, seed=seed) // 128 * 255)
    return str(tmp_path / "original")


def prepared(originals, tmp_path, scale):
    arguments = [
        "--input",
        originals,
        "--output",
        str(tmp_path),
        "--name",
        "T",
        "--whole",
        "--scales",
        str(scale),
    ]
    assert prepare_sr.main(arguments) == 0
    return {"dataroot_gt": f"{tmp_path}/GTmod{scale}", "dataroot_lq": f"{tmp_path}/LRbicx{scale}"}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("storage", STORAGES)
def test_whole_pictures(originals, tmp_path, scale, storage):
    roots = prepared(originals, tmp_path, scale)
    for color in COLOURS:
        options = {"scale": scale, "color": color}
        pairs = opened(PairedDataset, **stored(roots, storage if storage != "raw" else "disk"), **options)
        # from the untrimmed originals
        made = BicubicDataset(block(BicubicDataset, **stored({"dataroot_gt": originals}, storage), **options))
        for item, pair in zip(made, pairs, strict=True):
            assert torch.equal(item["lq"], pair["lq"]) and torch.equal(item["gt"], pair["gt"])
            assert item["name"] == pair["name"] and len(item["lq"]) == BicubicDataset.channels(options)


def test_16_bits_and_alpha_as_the_script_reads_them(tmp_path):
    save(tmp_path / "original/a.png", random_pixels(23, 31, dtype=np.uint16))
    save(tmp_path / "original/b.png", random_pixels(29, 19, 1))
    roots = prepared(str(tmp_path / "original"), tmp_path, 3)
    gt = {"dataroot_gt": str(tmp_path / "original")}
    pairs = opened(PairedDataset, scale=3, count=2, **roots)
    for storage in STORAGES:
        made = BicubicDataset(block(BicubicDataset, **stored(gt, storage) | {"scale": 3}))
        for item, pair in zip(made, pairs, strict=True):
            assert torch.equal(item["lq"], pair["lq"]) and torch.equal(item["gt"], pair["gt"])


@pytest.mark.parametrize("color", COLOURS)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SIZES)
def test_every_patch_is_cut_out_of_the_whole_small_picture(originals, scale, color, name):
    options = block(
        BicubicDataset, "train", dataroot_gt=originals, color=color, scale=scale, gt_size=2 * scale
    )
    dataset, pixels = BicubicDataset(options), cv2.imread(f"{originals}/{name}")
    h, w = (length // scale for length in pixels.shape[:2])
    trimmed = pixels[: h * scale, : w * scale]
    whole, sharp = in_colour(imresize(trimmed, 1 / scale), color), in_colour(trimmed, color)
    assert dataset.size({"gt": pixels}) == (h, w)
    for height, width in ((1, 1), (3, 5), (h, 2), (h, w)):
        for top in range(h - height + 1):
            for left in {*range(0, w - width + 1, 3), w - width}:
                window = Window(top, left, height, width)
                lq, gt = dataset.patches({"gt": pixels}, window)
                np.testing.assert_array_equal(lq, window.cut(whole))
                np.testing.assert_array_equal(gt, window.times(scale).cut(sharp))


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("storage", STORAGES)
def test_training_items_are_such_patches_wherever_they_lie(originals, tmp_path, scale, storage):
    (whole, *_) = opened(BicubicDataset, scale=scale, dataroot_gt=originals)
    options = stored({"dataroot_gt": originals}, storage) | {"scale": scale, "gt_size": 7 * scale}
    dataset, seen = BicubicDataset(block(BicubicDataset, "train", **options)), set()
    # each GT patch lies at a multiple of the scale
    places = {
        window.numpy().tobytes(): (y // scale, x // scale)
        for (y, x), window in windows(whole["gt"], 7 * scale)
        if y % scale == x % scale == 0
    }
    for _ in range(400):
        item = dataset[0]
        y, x = places[item["gt"].numpy().tobytes()]
        assert torch.equal(item["lq"], whole["lq"][:, y : y + 7, x : x + 7])
        seen.add((y, x))
    h, w = whole["lq"].shape[1:]
    assert {y for y, _ in seen} == set(range(h - 6)) and {x for _, x in seen} == set(range(w - 6))


def test_crops_of_the_script_are_patches_of_the_whole(originals, tmp_path):
    """A patch from DF2K's sub-images and one made while reading from the whole picture show the same."""
    arguments = ["--input", originals, "--output", str(tmp_path), "--name", "T", "--scales", "2"]
    assert prepare_sr.main([*arguments, "--crop_size", "16", "--step", "10"]) == 0
    roots = {"dataroot_gt": f"{tmp_path}/T_HR_sub", "dataroot_lq": f"{tmp_path}/T_LR_bicubic_X2_sub"}
    pairs = PairedDataset(block(PairedDataset, scale=2, **roots))
    whole = {item["name"]: item for item in opened(BicubicDataset, scale=2, dataroot_gt=originals)}
    assert len(pairs) > 20
    for pair in pairs:
        item, (h, w) = whole[pair["name"].rpartition("_s")[0]], pair["gt"].shape[1:]
        (place,) = [at for at, window in windows(item["gt"], h, w) if torch.equal(window, pair["gt"])]
        y, x = (n // 2 for n in place)
        assert torch.equal(pair["lq"], item["lq"][:, y : y + h // 2, x : x + w // 2])


def test_a_small_picture_is_filled_up(originals):
    item = opened(BicubicDataset, "train", scale=3, **{"dataroot_gt": originals, "gt_size": 42})[1]  # 26 x 37
    assert item["lq"].shape == (3, 14, 14) and item["gt"].shape == (3, 42, 42)
    assert torch.equal(item["lq"][:, 8:], item["lq"][:, 2:8].flip(1))
    assert torch.equal(item["gt"][:, 24:], item["gt"][:, 6:24].flip(1))
