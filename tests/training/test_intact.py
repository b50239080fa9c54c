"""Whether the weights of a training state are those that it was saved with."""

import zipfile

import pytest
import torch

from ir_plugins.runtime.storage import save_whole
from ir_plugins.training.states import _is_intact as is_intact


@pytest.fixture
def saved(tmp_path):
    """A file of torch.save, and its digest."""
    path = tmp_path / "a.pth"
    content = {"weights": torch.arange(1500.0).reshape(30, 50), "bias": torch.randn(7), "words": ["some", 3]}
    return path, save_whole(content, path)


def test_what_was_written_is_intact(saved):
    path, digest = saved
    assert is_intact(path, None) and is_intact(path, digest)


def test_another_file_is_not_the_one_written(saved):
    path, digest = saved
    save_whole({"weights": torch.zeros(3)}, path)
    assert is_intact(path, None) and not is_intact(path, digest)


@pytest.mark.parametrize("digest", [None, "0" * 64])
@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04" + bytes(300), "folder"])
def test_what_is_no_archive_is_not_intact(tmp_path, content, digest):
    path = tmp_path / "a.pth"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert not is_intact(path, digest)


def test_a_truncated_file_is_found_out(saved):
    path, _ = saved
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert not is_intact(path, None), length


def test_a_flipped_bit_of_the_data_is_found_out_without_a_digest(saved):
    path, _ = saved
    whole = path.read_bytes()
    start = whole.index(torch.arange(1500.0).numpy().tobytes())
    for position in range(start, start + 6000, 61):
        flip(path, whole, position)
        assert not is_intact(path, None), position


def test_a_flipped_bit_anywhere_is_found_out_with_one(saved):
    path, digest = saved
    whole = path.read_bytes()
    for position in range(0, len(whole), 19):
        flip(path, whole, position)
        assert not is_intact(path, digest), position


def test_no_damage_raises(saved):
    """The directory at the end says how to read each record, so a flipped bit there has odd effects."""
    path, _ = saved
    whole = path.read_bytes()
    directory = zipfile.ZipFile(path).start_dir
    for position in range(directory, len(whole), 2):
        for bit in (0, 5):
            flip(path, whole, position, bit)
            is_intact(path, None)


def flip(path, whole, position, bit=2):
    damaged = bytearray(whole)
    damaged[position] ^= 1 << bit
    path.write_bytes(damaged)
