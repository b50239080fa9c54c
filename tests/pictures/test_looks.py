"""Pictures that are too large, or say that they are."""

import cv2
import numpy as np
import pytest
from odd_files import HUGE, png_header

from ir_plugins.data.preparation.jobs import decoded as decoded_for_preparation
from ir_plugins.pictures import limits, looks
from ir_plugins.pictures.limits import size_fault
from ir_plugins.pictures.looks import look_at_bytes, look_at_file
from ir_plugins.pictures.raw import Broken
from ir_plugins.pictures.store import Store
from ir_plugins.runtime.capacity import whole_memory
from ir_plugins.runtime.errors import UserError

from basicsr.utils import img_util
from basicsr.utils.file_client import FileClient


@pytest.mark.parametrize("name", HUGE)
def test_a_header_beyond_what_can_be_decoded(tmp_path, capfd, name):
    content, says = HUGE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Broken, match=says):
        look_at_file(tmp_path / name)
    with pytest.raises(Broken, match=says):
        look_at_bytes(memoryview(content))
    # a dataset that was not checked says so too
    with pytest.raises(UserError, match=rf"{name} \({len(content)} bytes\) is {says}"):
        Store(str(tmp_path), "disk", "color").read(name)
    with pytest.raises(UserError, match=rf"{name} \({len(content)} bytes\) is {says}"):
        img_util.imfrombytes(FileClient("disk").get(tmp_path / name), float32=True)
    with pytest.raises(Broken, match=says):
        decoded_for_preparation(content, 1, 1)
    assert "OpenCV" not in capfd.readouterr().err


def test_the_limits():
    assert size_fault(1 << 15, 1 << 15) == "" == size_fault(1, 1 << 20)
    assert "sides up to 1048576" in size_fault(1, (1 << 20) + 1)
    assert "up to 1073741824" in size_fault(1 << 15, (1 << 15) + 1)
    assert 1 << 28 < whole_memory() < 1 << 50


def test_a_picture_that_takes_more_memory_than_there_is(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((500, 500, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((500, 500, 3), np.uint16))
    monkeypatch.setattr(limits, "whole_memory", lambda: 1_500_000)
    assert look_at_file(tmp_path / "a.png")[:2] == (500, 500)
    with pytest.raises(Broken, match="500x500 pixels, which take 2 MB, and this machine has 2 MB"):
        look_at_file(tmp_path / "b.png")


def test_a_header_that_lies_is_not_believed(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(9000, 9000))  # its end is as it should be
    with pytest.raises(Broken, match="truncated or damaged"):
        look_at_file(tmp_path / "a.png")


def test_a_flat_picture_is_whole_though_it_packs_well(tmp_path):
    flat = np.full((2003, 1999), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert flat.size > 256 * (tmp_path / "a.png").stat().st_size
    assert look_at_file(tmp_path / "a.png") == (2003, 1999, False, 8, 1)


def test_a_large_picture_brings_no_warning(tmp_path, monkeypatch, recwarn):
    """Pillow warns from 89 million pixels on, and refuses twice as many."""
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (60, 50), np.uint8))
    for most in (2000, 1000):
        monkeypatch.setattr(looks.Image, "MAX_IMAGE_PIXELS", most)
        monkeypatch.setattr(looks, "_full_look", lambda data: pytest.fail("decoded"))
        assert look_at_file(tmp_path / "a.png")[:2] == (60, 50)
    assert not recwarn.list


def test_a_file_of_terabytes(tmp_path):
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(Broken, match=r"it has 4398046.5 MB, at most 2147.5 MB are read"):
        look_at_file(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a.png cannot be read: it has 4398046.5 MB"):
        Store(str(tmp_path), "disk", "color").read("a.png")
