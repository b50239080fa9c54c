"""Pictures without GT: every one is read, none is left out or changed without a word."""

import cv2
import numpy as np
import pytest
import torch
from picture_sets import STORAGES, as_tensor, block, opened, random_pixels, refused, save, stored

from ir_plugins.data import LQDataset, MixedDataset
from ir_plugins.runtime.errors import UserError


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_without_gt(tmp_path, storage, bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    pixels = {name: random_pixels(11, 13, dtype=dtype, seed=seed) for seed, name in enumerate("ab")}
    for name, picture in pixels.items():
        save(tmp_path / f"lq/s/{name}.png", picture)
    options = stored({"dataroot_lq": str(tmp_path / "lq")}, storage) | {"bits": bits}
    dataset = opened(LQDataset, count=2, **options)
    assert dataset.groups == ["s", "s"] and list(dataset.notes()) == []
    for index, name in enumerate("ab"):
        item = dataset[index]
        assert set(item) == {"lq", "lq_path", "name"} and item["name"] == f"s/{name}"
        assert torch.equal(item["lq"], as_tensor(pixels[name]))


def test_there_is_nothing_to_learn_from_lq_alone(tmp_path):
    save(tmp_path / "lq/a.png", random_pixels(11, 13))
    with pytest.raises(UserError, match="type: is LQDataset, which has nothing to learn from"):
        LQDataset(block(LQDataset, "train", dataroot_lq=str(tmp_path / "lq")))


@pytest.fixture
def jumble(tmp_path):
    """A folder of all kinds of pictures, and by its file the colours (h, w, 3) that OpenCV sees in each."""
    kinds = {
        "alpha.png": (4, np.uint8),
        "deep.png": (3, np.uint16),
        "deep_alpha.png": (4, np.uint16),
        "deep_gray.png": (1, np.uint16),
        "gray.png": (1, np.uint8),
        "plain.bmp": (3, np.uint8),
    }
    for seed, (name, (channels, dtype)) in enumerate(kinds.items()):
        save(tmp_path / "lq" / name, random_pixels(11, 13, channels, dtype, seed))
    flag = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    return str(tmp_path / "lq"), {name: cv2.imread(f"{tmp_path}/lq/{name}", flag) for name in kinds}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("bits", [8, 16])
def test_all_kinds_of_pictures_in_one_folder(jumble, storage, bits):
    root, seen = jumble
    dataset = opened(LQDataset, count=6, bits=bits, **stored({"dataroot_lq": root}, storage))
    for item, (name, pixels) in zip(dataset, seen.items(), strict=True):
        assert item["name"] == name.split(".")[0]
        if bits == 8 and pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        assert torch.allclose(item["lq"], as_tensor(pixels), atol=1e-7)
        assert ("alpha" in item) == ("alpha" in name)
        if "alpha" in item:
            stored_alpha = cv2.imread(f"{root}/{name}", cv2.IMREAD_UNCHANGED)[..., 3]
            eight = stored_alpha >> 8 * (stored_alpha.itemsize - 1)
            np.testing.assert_array_equal(item["alpha"], eight)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_log_names_what_is_converted(jumble, bits):
    root, _ = jumble
    alpha, depth, gray = opened(LQDataset, count=6, dataroot_lq=root, bits=bits).notes()
    assert alpha.startswith(f"{root}: 2 of 6 have an alpha channel") and alpha.endswith("alpha.png")
    if bits == 8:
        assert "3 of 6 have more than 8 bits, of which the lower ones are dropped; `bits: 16` keeps" in depth
    else:
        assert "3 of 6 have 8 bits, which are spread over 16: alpha.png, gray.png, plain.bmp" in depth
    assert gray.endswith("2 of 6 are gray and become colour: deep_gray.png, gray.png")
    gray_net = opened(LQDataset, count=6, dataroot_lq=root, color="gray").notes()
    assert not any("become colour" in note for note in gray_net)


def test_files_that_are_left_out_are_named(tmp_path):
    save(tmp_path / "lq/a.png", random_pixels(11, 13))
    (tmp_path / "lq/s").mkdir()
    (tmp_path / "lq/s/notes.txt").write_text("x")
    options = {"dataroot_lq": str(tmp_path / "lq")}
    expected = [f"{tmp_path}/lq: left out, because the names are not a picture's: s/notes.txt"]
    assert list(opened(LQDataset, count=1, **options).notes()) == expected
    mixed = {"sets": {"one": {"type": "LQDataset", **options}}}
    assert list(MixedDataset(block(MixedDataset, **mixed)).notes()) == expected


def test_pictures_that_share_a_name_keep_their_endings(tmp_path):
    names = ["a.bmp", "a.bmp.png", "a.png", "b.png", "s/a.png"]
    pixels = {name: save(tmp_path / "lq" / name, random_pixels(5, 7, seed=n)) for n, name in enumerate(names)}
    options = {"dataroot_lq": str(tmp_path / "lq")}
    dataset = opened(LQDataset, count=5, **options)
    found = {item["name"]: item["lq"] for item in dataset}
    assert list(found) == ["a.bmp", "a.bmp.png", "a.png", "b", "s/a"]
    for lq, file in zip(found.values(), names, strict=True):
        assert torch.equal(lq, as_tensor(pixels[file]))
    (note,) = dataset.notes()
    assert note.endswith("share a name, so their results keep the ending: a.bmp, a.bmp.png, a.png")
    (tmp_path / "list.txt").write_text("a.png\nb.jpg\n")  # a list may use another ending, if that is clear
    listing = str(tmp_path / "list.txt")
    assert [item["name"] for item in opened(LQDataset, count=2, **options, meta_info_file=listing)] == [
        "a.png",
        "b",
    ]


def test_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a b.PNG", "s/c.png"):
        pixels = save(tmp_path / name, random_pixels(11, 13))
        (item,) = opened(LQDataset, count=1, dataroot_lq=name)
        assert item["name"] in ("a b", "c") and item["lq_path"] == name
        assert torch.equal(item["lq"], as_tensor(pixels))
    message = refused(LQDataset, dataroot_lq="a b.PNG", meta_info_file="x.txt")
    assert "meta_info_file: lists pictures of a folder" in message and message.endswith("take it out")
    (tmp_path / "notes.txt").write_text("x")
    assert "notes.txt (not an image)" in refused(LQDataset, dataroot_lq="notes.txt")


def test_pictures_of_32_bits_are_refused_before_a_run(tmp_path):
    """OpenCV reads them only as they are; the run ended in the middle."""
    save(tmp_path / "lq/a.tif", np.zeros((5, 7, 3), np.float32))
    assert "a.tif (32 bits: save it with 8 or 16)" in refused(LQDataset, dataroot_lq=str(tmp_path / "lq"))
