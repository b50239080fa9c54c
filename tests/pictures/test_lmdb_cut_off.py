"""An LMDB that is cut off while it is read, and one that is written where no room is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lmdbs import both_codecs, forge_size, make_folder

from ir_plugins.data.checks import check_dataset, cut_off
from ir_plugins.pictures.environments import LMDB_READING, lmdb_environment
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.pictures.store import Store
from ir_plugins.runtime.errors import UserError

from basicsr.utils.file_client import FileClient


@pytest.fixture
def database(tmp_path):
    write_lmdb(make_folder(tmp_path / "in", 8), tmp_path / "x.lmdb", "raw")
    return tmp_path / "x.lmdb"


@pytest.mark.parametrize("left", [0, 4096, 20000])
def test_reading_goes_on_until_it_is_cut_off(database, left):
    """Reading its map beyond the end would kill the process by SIGBUS."""
    ours, theirs = Store(str(database), "lmdb", "color"), FileClient("lmdb", db_paths=str(database))
    block = {"type": "PairedDataset", "io_backend": {"type": "lmdb"}, "dataroot_gt": str(database)}
    ours.read("0000", verified=True), theirs.get("0000")
    assert cut_off(block) == "" == cut_off({"sets": {"a": block}, **block})
    os.truncate(database / "data.mdb", left)
    message = rf"{database}/data.mdb is cut off after {left} bytes; copy or make it again"
    for key in ("0000", "0007", "nowhere"):
        with pytest.raises(UserError, match=message):
            ours.read(key)
        with pytest.raises(UserError, match=message):
            theirs.get(key)
    assert message == cut_off(block) == cut_off({"sets": {"a": block}, **block})


def test_a_database_that_grows_or_loses_its_name_is_read_on(database):
    store = Store(str(database), "lmdb", "color")
    store.read("0003")
    with open(database / "data.mdb", "ab") as file:
        file.write(bytes(4096))
    store.read("0004")
    os.rename(database / "data.mdb", database / "old.mdb")
    store.read("0005")


def test_data_files_are_closed_with_their_environment(database):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        lmdb_environment(str(database), LMDB_READING)
    assert not before or len(os.listdir("/proc/self/fd")) == before


@both_codecs
def test_the_lock_file_has_its_room_before_it_is_mapped(tmp_path, codec):
    """LMDB makes it with holes, maps it and writes: on a full tmpfs that is a SIGBUS."""
    write_lmdb(make_folder(tmp_path / "in", 2), tmp_path / "x.lmdb", codec, workers=150)
    status = os.stat(tmp_path / "x.lmdb/lock.mdb")
    assert 512 * status.st_blocks >= status.st_size > 64 * 300


@pytest.mark.parametrize("pages", [0, 1, 5])
def test_a_full_disk_in_memory(tmp_path, pages):
    folder, disk = make_folder(tmp_path / "in", 9), tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * max(1, pages)}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting takes root")
    try:
        if not pages:
            (disk / "other").write_bytes(bytes(4096))
        write = [sys.executable, "-m", "ir_plugins", "lmdb", "--input", folder, "--output", disk / "x.lmdb"]
        ended = subprocess.run(write, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "x.lmdb cannot be written" in ended.stderr and "0 MB are free there" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_a_lie_about_a_size_does_not_kill_the_check(database):
    """LMDB believes it, and reads beyond its map."""
    block = {"type": "PairedDataset", "io_backend": {"type": "lmdb"}, "dataroot_gt": str(database)}
    block |= {"dataroot_lq": str(database), "name": "x"}
    assert check_dataset("datasets:val", block) == 8
    forge_size(database / "data.mdb", b"0003")
    with pytest.raises(UserError, match=r"data\.mdb is damaged \(reading it ended by SIG"):
        check_dataset("datasets:val", block)
