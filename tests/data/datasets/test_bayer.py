"""Mosaics made while reading against pictures made before; what the mosaic does itself is in test_mosaic."""

import cv2
import numpy as np
import pytest
import torch
from picture_sets import STORAGES, as_tensor, block, opened, save, stored
from picture_sets import write as write_three

from ir_plugins.data import BayerDataset, PairedDataset
from ir_plugins.data.mosaic import PATTERNS, demosaiced, mosaic

SIZES = [(11, 13), (7, 17), (19, 5)]


@pytest.fixture
def gt(tmp_path):
    write_three(tmp_path / "gt", sizes=SIZES)
    return {"dataroot_gt": str(tmp_path / "gt")}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_files_made_before(gt, tmp_path, pattern, storage):
    for name in "abc":
        rgb = cv2.imread(f"{gt['dataroot_gt']}/{name}.png")[..., ::-1]
        save(tmp_path / f"lq/{name}.png", demosaiced(mosaic(rgb, pattern), pattern)[..., ::-1])
        save(tmp_path / f"raw/{name}.png", mosaic(rgb, pattern))
    dataset = BayerDataset(block(BayerDataset, pattern=pattern, **stored(gt, storage)))
    for item, pair in zip(dataset, opened(PairedDataset, dataroot_lq=f"{tmp_path}/lq", **gt), strict=True):
        assert torch.equal(item["lq"], pair["lq"]) and torch.equal(item["gt"], pair["gt"])
    options = block(BayerDataset, pattern=pattern, initial="none", **stored(gt, storage))
    assert BayerDataset.channels(options) == 1
    for item, name in zip(BayerDataset(options), "abc", strict=True):
        raw = cv2.imread(f"{tmp_path}/raw/{name}.png", cv2.IMREAD_GRAYSCALE)
        assert torch.equal(item["lq"], as_tensor(raw))


def test_the_default_is_rggb_and_malvar(gt):
    given = opened(BayerDataset, pattern="rggb", initial="malvar", **gt)
    for item, other in zip(opened(BayerDataset, **gt), given, strict=True):
        assert torch.equal(item["lq"], other["lq"])
    assert BayerDataset.channels({}) == 3


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("initial", ["malvar", "none"])
def test_a_training_patch_begins_with_the_pattern_however_it_lies(gt, pattern, initial):
    options = {"gt_size": 5, "use_hflip": True, "use_rot": True, "pattern": pattern, "initial": initial}
    dataset, seen = opened(BayerDataset, "train", **options, **gt), set()
    for n in range(60):
        item = dataset[n % 3]
        rgb = (item["gt"] * 255).round().byte().permute(1, 2, 0).numpy()
        raw = mosaic(rgb, pattern)
        expected = demosaiced(raw, pattern)[..., ::-1] if initial == "malvar" else raw
        assert torch.equal(item["lq"], as_tensor(expected))
        seen.add(rgb.tobytes())
    assert len(seen) > 45


def test_a_small_picture_is_filled_up_before(gt):
    item = opened(BayerDataset, "train", **gt | {"gt_size": 23})[1]  # 11 x 13
    rgb = np.ascontiguousarray((item["gt"] * 255).round().byte().permute(1, 2, 0).numpy())
    assert torch.equal(item["lq"], as_tensor(demosaiced(mosaic(rgb))[..., ::-1]))
