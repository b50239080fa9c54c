"""How basicsr decodes and compresses pictures: the break, the repair, healthy versions left alone."""

import errno
import inspect
import os
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from repairs import client, in_both_memories, picture, png

from ir_plugins import compat
from ir_plugins.runtime.errors import UserError

from basicsr.data import build_dataset, degradations
from basicsr.models import sr_model
from basicsr.utils import img_util
from basicsr.utils.file_client import FileClient


def test_jpeg_takes_a_float_quality_and_float_pixels(capfd):
    image = np.random.default_rng(5).random((40, 56, 3), np.float32)
    image[0, 0] = 100.6 / 255, 1.7, -0.3
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    expected = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1], 1)
    result = degradations.add_jpg_compression(image, 87.6)
    assert result.dtype == np.float32 and np.array_equal(result, np.float32(expected) / 255)
    assert degradations.random_add_jpg_compression(image, (30, 95)).shape == image.shape
    assert capfd.readouterr().err == ""
    original = getattr(degradations.add_jpg_compression, "__wrapped__", None)
    if original is None:
        pytest.skip("this OpenCV takes a float quality")
    with pytest.raises(cv2.error, match="Can't parse 'params'"):
        original(image, 87.6)


def test_a_jpeg_function_that_works_is_left_alone(monkeypatch):
    def healthy(img, quality=90):
        return img

    monkeypatch.setattr(degradations, "add_jpg_compression", healthy)
    compat.round_jpeg_quality()
    assert degradations.add_jpg_compression is healthy


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    content = {"half.png": png(picture())[:400], "empty.png": b"", "text.png": b"not an image"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in content}


@pytest.mark.parametrize("float32", [True, False])
@pytest.mark.parametrize("name", ["half.png", "empty.png", "text.png"])
def test_an_unreadable_file_is_named(name, float32, files):
    content = FileClient("disk").get(files[name])
    with pytest.raises(UserError, match=rf"{name} \({len(content)} bytes\) is truncated or no image"):
        img_util.imfrombytes(content, float32=float32)
    original = inspect.unwrap(img_util.imfrombytes)
    if name == "empty.png":
        with pytest.raises(cv2.error, match="empty"):
            original(content, float32=float32)
    elif float32:
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'astype'"):
            original(content, float32=True)
    else:
        assert original(content) is None


@pytest.mark.parametrize("key", ["half", "empty"])
def test_an_unreadable_lmdb_image_is_named(key, store):
    content = client(store).get(key, "lq")
    with pytest.raises(
        UserError, match=rf"key '{key}' of the LMDB .*pictures\.lmdb \({len(content)} bytes\)"
    ):
        img_util.imfrombytes(content, float32=True)


def test_datasets_name_what_they_cannot_read(store):
    options = {"name": "pairs", "type": "PairedImageDataset", "phase": "val", "scale": 1}
    folders = {"dataroot_gt": str(store), "dataroot_lq": str(store), "io_backend": {"type": "lmdb"}}
    dataset = build_dataset({**options, **folders})
    assert dataset[0]["gt"].shape == (3, 23, 17)
    with pytest.raises(UserError, match="key 'half' of the LMDB"):
        dataset[1]


def test_every_module_of_basicsr_decodes_the_mended_way():
    holders = [m for n, m in sys.modules.items() if n.startswith("basicsr") and hasattr(m, "imfrombytes")]
    assert len(holders) > 5
    assert {m.imfrombytes for m in holders} == {img_util.imfrombytes}


@pytest.mark.parametrize("float32", [True, False])
@pytest.mark.parametrize("flag", ["color", "grayscale", "unchanged"])
def test_images_decode_as_before(flag, float32, tmp_path):
    (tmp_path / "fine.png").write_bytes(png(picture()))
    content = FileClient("disk").get(tmp_path / "fine.png")
    image = img_util.imfrombytes(content, flag, float32)
    expected = img_util.imfrombytes.__wrapped__(content, flag, float32)
    assert image.dtype == expected.dtype and np.array_equal(image, expected)
    assert img_util.imfrombytes(png(picture())).shape == (23, 17, 3)


def test_read_content_is_plain_bytes_that_travel(store):
    content = client(store).get("fine", "lq")
    copy = pickle.loads(pickle.dumps(content))
    assert copy == content == png(picture()) and copy.source == content.source


def test_a_decoder_that_complains_is_left_alone(monkeypatch):
    def healthy(content, flag="color", float32=False):
        raise ValueError("no image")

    monkeypatch.setattr(img_util, "imfrombytes", healthy)
    compat.name_unreadable_images()
    assert img_util.imfrombytes is healthy


def test_filters_take_channels_last_pictures():
    from basicsr.models import realesrnet_model
    from basicsr.utils import img_process_util

    plain, channels_last = in_both_memories(2, 3, 11, 7)
    kernel = torch.rand(2, 5, 5)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        img_process_util.filter2D.__wrapped__(channels_last, kernel)
    for filter2D in (img_process_util.filter2D, realesrnet_model.filter2D):
        assert torch.equal(filter2D(channels_last, kernel), filter2D(plain, kernel))


def test_a_picture_is_written_whole_or_the_error_names_it(tmp_path, monkeypatch):
    """OpenCV takes a file of 0 bytes on a full disk for written."""
    picture = np.random.default_rng(5).integers(0, 256, (8, 9, 3), np.uint8)
    path = tmp_path / "new" / "a.png"
    img_util.imwrite(picture, str(path))
    assert np.array_equal(cv2.imread(str(path)), picture) and sr_model.imwrite is img_util.imwrite
    for quality in (5, 95):
        img_util.imwrite(picture, str(tmp_path / f"{quality}.jpg"), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert (tmp_path / "5.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError) as error:
        img_util.imwrite(picture + 1, str(path))
    assert error.value.filename == str(path) and np.array_equal(cv2.imread(str(path)), picture)
