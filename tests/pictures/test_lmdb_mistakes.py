"""`write_lmdb` on folders, files and names that it cannot use."""

import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from lmdbs import both_codecs, contents, make_folder, noise, refused, run_killed

from ir_plugins.pictures import lmdb as lmdb_module
from ir_plugins.pictures.lmdb import write_lmdb


def test_raw_pixels_that_cannot_fit_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    source = make_folder(tmp_path / "in", 3)  # 3251 bytes with the header: a page each
    cv2.imwrite(str(source / "gray.png"), noise(67, 71))  # 4789 bytes: two
    cv2.imwrite(str(source / "gray16.png"), noise(67, 71, dtype=np.uint16))  # 9546: three
    cv2.imwrite(str(source / "alpha.png"), noise(67, 71, 4))  # 19060: five
    cv2.imwrite(str(source / "photo.jpg"), noise(67, 71, 3))  # 14303: four
    needed = 4096 * (3 + 2 + 3 + 5 + 4)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(lmdb_module.shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    database = tmp_path / "new" / "x.lmdb"
    says = f"{database} takes {needed / 1e6:.0f} MB as raw pixels, {(needed - 1) / 1e6:.0f} MB are free in"
    refused(source, database, says, str(tmp_path), "--codec png", codec="raw")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(lmdb_module.shutil, "disk_usage", lambda path: usage._replace(free=needed))
    assert write_lmdb(source, database, "raw").count == 7
    # what an interrupted run has written already is not needed again
    assert run_killed(source, tmp_path / "y.lmdb", "lmdb._verify", 1, "raw") == -signal.SIGKILL
    monkeypatch.setattr(lmdb_module.shutil, "disk_usage", lambda path: usage._replace(free=4096))
    assert write_lmdb(source, tmp_path / "y.lmdb", "raw").kept == 7
    assert write_lmdb(source, tmp_path / "z.lmdb", "png").count == 7


@both_codecs
def test_broken_images_are_named_and_mending_them_is_quick(tmp_path, codec):
    source = make_folder(tmp_path / "in", 20)
    database = tmp_path / "x.lmdb"
    whole = {}
    for i in range(7):
        path = source / f"{i:04d}.png"
        whole[path] = path.read_bytes()
        path.write_bytes([b"", b"no image", whole[path][:-9], whole[path][:200]][i % 4])
    says = "7 of 20", "0000.png (empty)", "0001.png (not an image", "and 2 more"
    message = refused(source, database, *says, codec=codec)
    assert "0002.png (truncated" in message and "0003.png (truncated" in message and "0005.png" not in message
    assert not database.exists()
    for path, data in whole.items():
        path.write_bytes(data)
    assert write_lmdb(source, database, codec)[::2] == (20, 13)


@both_codecs
@pytest.mark.parametrize(
    "name, data, says",
    [
        ("cut.jpg", lambda: cv2.imencode(".jpg", noise(64, 64, 3))[1].tobytes()[:-100], "truncated"),
        ("cut.bmp", lambda: cv2.imencode(".bmp", noise(64, 64, 3))[1].tobytes()[:-1], "truncated"),
        ("flipped.png", lambda: _flip(cv2.imencode(".png", noise(64, 64, 3))[1].tobytes()), "damaged"),
        ("float.tif", lambda: cv2.imencode(".tif", noise(4, 4).astype(np.float32))[1].tobytes(), "float32"),
    ],
)
def test_each_kind_of_broken_image(tmp_path, name, data, says, codec):
    source = make_folder(tmp_path / "in", 1)
    (source / name).write_bytes(data())
    refused(source, tmp_path / "x.lmdb", "1 of 2", str(source / name), says, codec=codec)


def _flip(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


def test_mistakes_are_refused_before_anything_is_written(tmp_path):
    source = make_folder(tmp_path / "in", 2)
    database = tmp_path / "x.lmdb"
    file = tmp_path / "file.png"
    file.write_bytes(b"")
    empty = tmp_path / "empty"
    empty.mkdir()

    refused(tmp_path / "nowhere", database, "input", "nowhere does not exist")
    refused(file, database, "input", "file.png is a file")
    refused(empty, database, "input", "empty holds no files")
    refused(source, tmp_path / "x.mdb", "output", "x.mdb must end in .lmdb")
    refused(source, source / "x.lmdb", "output", "lies in the input folder")
    refused(source, database, "workers: 0", workers=0)
    refused(source, database, "codec: 'webp'", "png or raw", codec="webp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file.png", "in"]

    (source / "Thumbs.db").write_bytes(b"x")
    (source / "notes.txt").write_bytes(b"x")
    refused(source, database, "no images: Thumbs.db, notes.txt")
    assert not database.exists() and not Path(f"{database}.part").exists()


@pytest.mark.parametrize(
    "names, says",
    [
        (["0001.clean.png"], "'0001.clean.png'"),
        (["stra\u00dfe.png"], r"'stra\xdfe.png'"),
        (["a\nb.png"], r"'a\nb.png'"),
        (["v1.2/0001.png"], "'v1.2/0001.png'"),
        (["a.png", "a.jpg"], "a.jpg and a.png"),
        ([f"{i}.{i}.png" for i in range(8)], "'4.4.png' and 3 more"),
    ],
)
def test_names_that_basicsr_could_not_read_back(tmp_path, names, says):
    source = make_folder(tmp_path / "in", 1)
    for name in names:
        (source / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(source / "x.png"), noise(3, 3))
        (source / "x.png").rename(source / name)
    refused(source, tmp_path / "x.lmdb", "rename", says)
    assert not (tmp_path / "x.lmdb.part").exists()


def test_an_existing_database_is_left_alone(tmp_path):
    source = make_folder(tmp_path / "in", 2)
    database = tmp_path / "x.lmdb"
    write_lmdb(source, database)
    before = contents(database)
    refused(source, database, "x.lmdb already exists", "delete it")
    assert contents(database) == before
