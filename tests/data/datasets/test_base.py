"""What holds of every dataset: items that repeat in tests, and do not in training."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_cases import CASES, count_of, open_case, options_of
from picture_sets import (
    STORAGES,
    block,
    digest,
    packed,
    random_pixels,
    save,
)
from picture_sets import write as write_three
from torch.utils.data import DataLoader

from ir_plugins.data import (
    GaussianNoiseDataset,
)
from ir_plugins.data.datasets import base
from ir_plugins.pictures import raw as raw_values
from ir_plugins.runtime.errors import UserError
from ir_plugins.training.order import Draw, Drawn


def global_random_state():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("case", CASES)
def test_a_test_item_is_the_same_whenever_and_wherever_it_is_made(folders, case, storage):
    expected = [digest(item) for item in open_case(case, folders)]
    assert len(set(expected)) == len(expected) == count_of(case)
    dataset = open_case(case, folders, storage=storage)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    before = global_random_state()
    for index in (2, 0, 1, 2):
        assert digest(dataset[index]) == expected[index]
    assert global_random_state() == before
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    assert [digest(item) for item in loader] == expected


@pytest.mark.parametrize("case", CASES)
def test_items_say_what_they_are(folders, case):
    for item in open_case(case, folders):
        assert item["lq"].dtype == item["gt"].dtype == torch.float32
        assert item["gt"].min() >= 0 and item["gt"].max() <= 1
        name = Path(item["name"])
        assert name.stem in "abc" and Path(item["gt_path"]).stem == name.stem == Path(item["lq_path"]).stem
        assert Path(item["gt_path"]).is_file()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("case", CASES)
def test_training_is_fresh_and_follows_the_draw(folders, case, storage):
    dataset = open_case(case, folders, "train", storage, use_hflip=True, use_rot=True)
    assert len({digest(dataset[0]) for _ in range(12)}) > 6
    size = 12 if case == "bicubic" else 7
    draws = [Draw(index, size, (0, epoch, index)) for epoch in range(3) for index in range(3)]
    first = [digest(Drawn(dataset)[draw]) for draw in draws]
    assert len(set(first)) == len(first)
    other = Drawn(open_case(case, folders, "train", use_hflip=True, use_rot=True))
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    before = global_random_state()
    items = {draw: other[draw] for draw in reversed(draws)}
    assert [digest(items[draw]) for draw in draws] == first
    assert global_random_state() == before
    assert {tuple(item["gt"].shape[1:]) for item in items.values()} == {(size, size)}
    again = Draw(0, size, (1, 0, 0))
    assert digest(other[again]) not in first


@pytest.mark.parametrize("case", [case for case in CASES if case != "mixed"])
def test_only_the_window_of_a_raw_picture_is_touched(folders, case, monkeypatch):
    """By counting what is copied or computed: a value is a view, and only parts of it are passed on."""
    for folder in folders.iterdir():
        dtype = "u2" if case == "dual" else "u1"
        write_three(folder, dtype, [(97, 101), (131, 83), (89, 127)])
    kind, options = options_of(case, folders, "raw")
    dataset = kind(block(kind, "train", **options))
    values, seen = [], []

    def read(self, kind, file, read=kind._read):
        values.append(read(self, kind, file))
        return values[-1]

    def in_colour(pixels, *rest, in_colour=base.in_colour):
        assert any(np.shares_memory(pixels, value) for value in values) or case == "bicubic"
        seen.append(pixels.shape[:2])
        return in_colour(pixels, *rest)

    monkeypatch.setattr(kind, "_read", read)
    monkeypatch.setattr(base, "in_colour", in_colour)
    dataset[0]
    assert values and not any(value.flags.owndata or value.flags.writeable for value in values)
    most = {"jpeg": 64, "bicubic": 6}.get(case, 4)
    assert seen and all(max(shape) <= most for shape in seen)


def test_a_raw_picture_is_not_copied_to_be_looked_at(folders):
    _, options = options_of("noise", folders, "raw")
    dataset = GaussianNoiseDataset(block(GaussianNoiseDataset, **options))
    pixels = dataset._read("gt", "a")
    assert isinstance(pixels.base.base if pixels.base is not None else None, (memoryview, np.ndarray))
    assert raw_values.is_raw(dataset._stores["gt"]._database.get("a"))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 0


def test_pictures_in_folders_are_reported_apart(folders):
    shutil.move(folders / "gt/a.png", folders / "gt/b.png.d")
    (folders / "gt/indoor").mkdir()
    shutil.move(folders / "gt/b.png.d", folders / "gt/indoor/a.png")
    dataset = open_case("noise", folders)
    assert dataset.groups == ["", "", "indoor"]
    assert [item["name"] for item in dataset] == ["b", "c", "indoor/a"]


def test_a_name_that_is_no_text_has_its_noise_too(tmp_path):
    """As Linux allows: a byte that is no UTF-8."""
    save(tmp_path / "a.png", random_pixels(11, 13))
    (tmp_path / "gt").mkdir()
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/gt/\xff.png")
    options = block(GaussianNoiseDataset, dataroot_gt=str(tmp_path / "gt"), sigma=25)
    first, again = (GaussianNoiseDataset(options)[0]["lq"] for _ in range(2))
    assert torch.equal(first, again)


def test_validation_compares_the_checksum_of_raw_pixels(tmp_path):
    save(tmp_path / "gt/a.png", random_pixels(71, 73))
    options = packed({"dataroot_gt": str(tmp_path / "gt")}, "raw") | {"sigma": 0}
    data = tmp_path / "gt.raw.lmdb/data.mdb"
    content = bytearray(data.read_bytes())
    content[content.index(raw_values.MAGIC) + 5000] ^= 1
    data.write_bytes(content)
    GaussianNoiseDataset(block(GaussianNoiseDataset, "train", **options))[0]
    with pytest.raises(UserError, match=r"key .a. of the LMDB .* is damaged; make the LMDB again"):
        GaussianNoiseDataset(block(GaussianNoiseDataset, **options))[0]
