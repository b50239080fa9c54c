"""Noise: its level and whiteness, and that a test picture's is the same everywhere, files included."""

import math

import cv2
import numpy as np
import pytest
import torch
from picture_sets import NAMES, STORAGES, as_tensor, block, opened, save, stored
from picture_sets import write as write_three

from ir_plugins.data import GaussianNoiseDataset, PairedDataset

SIZES = [(101, 97), (53, 61), (29, 43)]  # b, a, c


@pytest.fixture
def gt(tmp_path):
    write_three(tmp_path / "gt", sizes=SIZES)
    return {"dataroot_gt": str(tmp_path / "gt")}


def noise_of(item):
    return (item["lq"] - item["gt"]) * 255


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("color", ["rgb", "gray", "y"])
def test_files_of_the_same_noise(gt, tmp_path, color, storage):
    """Rounded, written as PNG and read as pairs: the same pictures bit for bit."""
    options = {"sigma": [5, 50], "rounded": True, "color": color}
    dataset = GaussianNoiseDataset(block(GaussianNoiseDataset, **stored(gt, storage), **options))
    for item in dataset:
        for folder, tensor in (("lq", item["lq"]), ("sharp", item["gt"])):
            assert (
                torch.equal(tensor * 255, (tensor * 255).round()) and 0 <= tensor.min() <= tensor.max() <= 1
            )
            pixels = (tensor * 255).byte().permute(1, 2, 0).numpy()[..., ::-1]
            save(tmp_path / folder / f"{item['name']}.png", pixels)
    roots = {"dataroot_gt": str(tmp_path / "sharp"), "dataroot_lq": str(tmp_path / "lq")}
    pairs = opened(
        PairedDataset, **stored(roots, "disk" if storage == "raw" else storage), color=_read_as(color)
    )
    for item, pair in zip(dataset, pairs, strict=True):
        assert torch.equal(item["lq"], pair["lq"]) and torch.equal(item["gt"], pair["gt"])


def _read_as(color):
    return "gray" if color == "y" else color  # luma once is enough


def test_noise_is_white_and_as_strong_as_asked(gt):
    noise = noise_of(opened(GaussianNoiseDataset, sigma=25, **gt)[1])
    assert noise.shape == (3, 101, 97)
    assert float(noise.std()) == pytest.approx(25, rel=0.02) and abs(float(noise.mean())) < 0.5
    neighbours = [(noise[0], noise[1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1])]
    for one, other in neighbours:
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < 0.03
    assert float(((noise / 25) ** 4).mean()) == pytest.approx(3, rel=0.05)  # a Gaussian's fourth moment


def test_noise_is_neither_clipped_nor_rounded_unless_asked(gt):
    item = opened(GaussianNoiseDataset, sigma=50, **gt)[1]
    assert item["lq"].min() < -0.1 and item["lq"].max() > 1.1
    rounded = opened(GaussianNoiseDataset, sigma=50, rounded=True, **gt)[1]
    assert torch.equal(rounded["lq"], (item["lq"] * 255).round().clamp(0, 255) / 255)


def test_no_noise(gt):
    for item in opened(GaussianNoiseDataset, sigma=0, **gt):
        assert torch.equal(item["lq"], item["gt"])


def test_other_names_have_other_noise(gt, tmp_path):
    pixels = cv2.imread(f"{gt['dataroot_gt']}/a.png")
    for name in NAMES:
        save(tmp_path / f"gt/{name}", pixels)
    noises = [noise_of(item) for item in opened(GaussianNoiseDataset, sigma=25, **gt)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pair = torch.stack([noises[one].flatten(), noises[other].flatten()])
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.05


def test_the_name_alone_decides(gt, tmp_path):
    """Not the place in the order, nor the ending, nor where the folder lies."""
    expected = opened(GaussianNoiseDataset, sigma=[5, 50], **gt)[1]
    pixels = cv2.imread(f"{gt['dataroot_gt']}/b.png")
    save(tmp_path / "other/b.TIFF", pixels)
    (item,) = opened(GaussianNoiseDataset, sigma=[5, 50], dataroot_gt=str(tmp_path / "other"), count=1)
    assert torch.equal(item["lq"], expected["lq"])


def test_restormers_noise(gt):
    """With `seed` it is NumPy's, the same numbers for every picture, height, width, channel."""
    for item in opened(GaussianNoiseDataset, sigma=15, seed=7, **gt):
        c, h, w = item["gt"].shape
        expected = np.random.RandomState(7).normal(0, 15, (h, w, c)).transpose(2, 0, 1)
        np.testing.assert_allclose(noise_of(item).numpy(), expected, atol=5e-5)
    train = opened(GaussianNoiseDataset, "train", sigma=15, seed=7, **gt)
    assert (noise_of(train[0]) - noise_of(train[0])).abs().max() > 1


def test_blind_levels_cover_the_range(gt, tmp_path):
    dataset = opened(GaussianNoiseDataset, "train", sigma=[5, 50], **gt | {"gt_size": 47})
    levels = [float(noise_of(dataset[1]).std()) for _ in range(150)]
    assert 4.5 < min(levels) < 8 and 47 < max(levels) < 52
    assert np.mean(levels) == pytest.approx(27.5, abs=3)
    assert np.std(levels) == pytest.approx(45 / math.sqrt(12), rel=0.2)


def test_blind_levels_of_test_pictures(gt, tmp_path):
    for number in range(17):
        save(tmp_path / f"many/{number}.png", np.full((37, 31, 3), 128, np.uint8))
    options = {"sigma": [5, 50], "dataroot_gt": str(tmp_path / "many")}
    levels = [float(noise_of(item).std()) for item in opened(GaussianNoiseDataset, count=17, **options)]
    assert len({round(level, 3) for level in levels}) == 17 and 4 < min(levels) < 17 and 38 < max(levels) < 53


@pytest.mark.parametrize("color", ["rgb", "gray", "y"])
def test_gt_is_the_file(gt, color):
    item = opened(GaussianNoiseDataset, sigma=25, color=color, **gt)[0]
    file = f"{gt['dataroot_gt']}/a.png"
    pixels = cv2.imread(file, cv2.IMREAD_GRAYSCALE if color == "gray" else cv2.IMREAD_COLOR)
    if color == "y":
        blue, green, red = np.moveaxis(pixels.astype(float), 2, 0)
        pixels = np.round(16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255).astype(np.uint8)
    assert torch.equal(item["gt"], as_tensor(pixels))
    assert item["lq_path"] == item["gt_path"] == file
