"""JPEG made while reading against whole pictures compressed before, bit for bit."""

import io
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from picture_sets import STORAGES, as_tensor, block, opened, random_pixels, save, stored, windows
from PIL import Image

from ir_plugins.data import JPEGDataset, PairedDataset
from ir_plugins.pictures.colour import in_colour
from ir_plugins.pictures.window import Window

SIZES = {"a": (61, 83), "b": (32, 48), "c": (13, 101)}


@pytest.fixture
def gt(tmp_path):
    for seed, (name, size) in enumerate(SIZES.items()):
        noise = random_pixels(*size, seed=seed)
        save(
            tmp_path / f"gt/{name}.png",
            cv2.addWeighted(noise, 0.4, cv2.GaussianBlur(noise, (0, 0), 3), 2, -180),
        )
    return {"dataroot_gt": str(tmp_path / "gt")}


def as_read(file, color):
    return in_colour(cv2.imread(str(file)), color)


def jpeg(pixels, quality, encoder="opencv"):
    """The content of a file that OpenCV or Pillow writes."""
    if encoder == "opencv":
        return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    file = io.BytesIO()
    rgb = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., ::-1].copy()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality)
    return file.getvalue()


def decoded(content, encoder="opencv"):
    if encoder == "opencv":
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


VARIANTS = [(color, encoder) for color in ("rgb", "gray", "y") for encoder in ("opencv", "libjpeg")]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("color, encoder", VARIANTS)
def test_whole_pictures(gt, color, encoder, storage):
    for quality in (10, 47, 90):
        options = {"quality": quality, "color": color, "encoder": encoder, **stored(gt, storage)}
        dataset = JPEGDataset(block(JPEGDataset, **options))
        for item in dataset:
            pixels = as_read(f"{gt['dataroot_gt']}/{item['name']}.png", color)
            expected = decoded(jpeg(pixels, quality, encoder), encoder)
            assert torch.equal(item["lq"], as_tensor(expected))
            assert torch.equal(item["gt"], as_tensor(pixels))
            assert not torch.equal(item["lq"], item["gt"])


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_files_compressed_before(gt, tmp_path, color):
    """What a script would have saved, read as pairs: from .jpg files and from an LMDB of them."""
    for name in SIZES:
        pixels = as_read(f"{gt['dataroot_gt']}/{name}.png", color)
        (tmp_path / "lq").mkdir(exist_ok=True)
        (tmp_path / f"lq/{name}.jpg").write_bytes(jpeg(pixels, 30))
    made = opened(JPEGDataset, quality=30, color=color, **gt)
    pairs = gt | {"dataroot_lq": str(tmp_path / "lq")}
    for storage in ("disk", "png"):
        for item, pair in zip(
            made, opened(PairedDataset, color=color, **stored(pairs, storage)), strict=True
        ):
            assert torch.equal(item["lq"], pair["lq"]) and torch.equal(item["gt"], pair["gt"])


@pytest.mark.parametrize("color, encoder", VARIANTS)
@pytest.mark.parametrize("quality", [5, 40, 95])
@pytest.mark.parametrize("name", SIZES)
def test_every_patch_is_cut_out_of_the_whole_compressed_picture(gt, color, encoder, quality, name):
    options = block(JPEGDataset, "train", quality=quality, color=color, encoder=encoder, **gt)
    dataset, pixels = JPEGDataset(options), as_read(f"{gt['dataroot_gt']}/{name}.png", color)
    stored_pixels, (h, w) = cv2.imread(f"{gt['dataroot_gt']}/{name}.png"), SIZES[name]
    whole = decoded(jpeg(pixels, quality, encoder), encoder).reshape(pixels.shape)
    for height, width in ((1, 1), (7, 11), (13, 37)):
        tops = {*range(0, h - height + 1, 5), h - height}
        for top in tops:
            for left in {*range(0, w - width + 1, 7), w - width}:
                window = Window(top, left, height, width)
                lq, sharp = dataset.patches({"gt": stored_pixels}, window)
                np.testing.assert_array_equal(lq, window.cut(whole))
                np.testing.assert_array_equal(sharp, window.cut(pixels))


@pytest.mark.parametrize("storage", STORAGES)
def test_training_items_are_such_patches(gt, storage):
    options = {"quality": 20, "gt_size": 9, "use_hflip": True, "use_rot": True} | stored(gt, storage)
    dataset, seen = JPEGDataset(block(JPEGDataset, "train", **options)), set()
    pixels = cv2.imread(f"{gt['dataroot_gt']}/b.png")
    whole, sharp = as_tensor(decoded(jpeg(pixels, 20))), as_tensor(pixels)
    everywhere = sharp.unfold(1, 9, 1).unfold(2, 9, 1)  # (3, h, w, 9, 9)
    for _ in range(60):
        item = dataset[1]
        for quarters, mirrored in [(q, m) for q in range(4) for m in (False, True)]:
            # undone: the mirror first, since it came last
            lq, gt_patch = (
                (t.flip(2) if mirrored else t).rot90(-quarters, (1, 2)) for t in (item["lq"], item["gt"])
            )
            if at := (everywhere == gt_patch[:, None, None]).all(-1).all(-1).all(0).nonzero().tolist():
                ((y, x),) = at
                assert torch.equal(lq, whole[:, y : y + 9, x : x + 9])
                seen.add((quarters, mirrored))
                break
        else:
            pytest.fail("the patch is nowhere")
    assert len(seen) == 8


def test_a_small_picture_is_compressed_before_it_is_filled_up(gt):
    item = opened(JPEGDataset, "train", quality=20, **gt | {"gt_size": 25})[2]  # 13 x 101
    assert torch.equal(item["lq"][:, 13:], item["lq"][:, 1:13].flip(1)) and item["lq"].shape[1:] == (25, 25)


def test_blind_quality(gt):
    dataset = opened(JPEGDataset, "train", quality=[10, 14], **gt | {"gt_size": 32})
    pixels = cv2.imread(f"{gt['dataroot_gt']}/b.png")[:, 16:]
    sharp = as_tensor(cv2.imread(f"{gt['dataroot_gt']}/b.png"))
    whole = {q: as_tensor(decoded(jpeg(cv2.imread(f"{gt['dataroot_gt']}/b.png"), q))) for q in range(8, 17)}
    assert len({w.numpy().tobytes() for w in whole.values()}) == 9 and pixels.shape == (32, 32, 3)
    counts = Counter()
    for _ in range(200):
        item = dataset[1]
        ((y, x),) = [place for place, window in windows(sharp, 32) if torch.equal(window, item["gt"])]
        (quality,) = [q for q, w in whole.items() if torch.equal(w[:, y : y + 32, x : x + 32], item["lq"])]
        counts[quality] += 1
    assert set(counts) == {10, 11, 12, 13, 14} and min(counts.values()) > 20


def test_blind_quality_of_test_pictures(gt, tmp_path):
    pixels = cv2.imread(f"{gt['dataroot_gt']}/b.png")
    for number in range(11):
        save(tmp_path / f"many/{number}.png", pixels)
    options = {"quality": [5, 95], "dataroot_gt": str(tmp_path / "many")}
    items = [item["lq"] for item in opened(JPEGDataset, count=11, **options)]
    assert len({item.numpy().tobytes() for item in items}) > 7  # each name has its own
    again = opened(JPEGDataset, count=11, **options)
    assert all(torch.equal(again[n]["lq"], items[n]) for n in reversed(range(11)))
