"""`write_lmdb`: lossless, BasicSR's format to the byte, resumable after a kill, and clear about mistakes."""

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from ir_plugins.data.checks import check_dataset
from ir_plugins.pictures import lmdb as lmdb_module
from ir_plugins.pictures import raw
from ir_plugins.pictures.lmdb import CODECS, write_lmdb
from ir_plugins.pictures.mapped import MappedLmdb
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

both_codecs = pytest.mark.parametrize("codec", CODECS)
LAYOUT = ["data.mdb", "lock.mdb", "meta_info.txt"]


def noise(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def make_folder(folder, count, size=(37, 29)):
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:04d}.png"), noise(*size, 3, seed=i))
    return folder


def contents(database):
    with lmdb.open(str(database), readonly=True, lock=False) as env, env.begin() as txn:
        return {key.decode(): bytes(value) for key, value in txn.cursor()}


def decode(value):
    if raw.is_raw(value):
        return np.squeeze(raw.view(value), axis=2) if raw.view(value).shape[2] == 1 else raw.view(value)
    return cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_UNCHANGED)


@both_codecs
def test_every_kind_of_image_keeps_its_pixels(tmp_path, codec):
    source = tmp_path / "in"
    (source / "clip3").mkdir(parents=True)
    stored = {
        "gray": noise(17, 31),
        "colour": noise(1, 1, 3),
        "gray16": noise(23, 7, dtype=np.uint16),
        "colour16": noise(11, 13, 3, dtype=np.uint16),
        "alpha": noise(19, 5, 4),
        "alpha-2": noise(5, 3, 4),  # sorts before alpha.png as a file and after alpha as a key
        "clip3/00000007": noise(7, 41, 3),
    }
    for name, pixels in stored.items():
        cv2.imwrite(str(source / f"{name}.png"), pixels)
    for name in ("photo.jpg", "a b.BMP", "scan.tif", "web.webp"):
        Image.fromarray(noise(29, 43, 3)).save(source / name)
        with Image.open(source / name) as image:  # a decoder other than the writer's
            stored[name.partition(".")[0]] = np.asarray(image.convert("RGB"))[..., ::-1]
    (source / ".hidden.png").write_bytes(b"")
    (source / ".cache").mkdir()
    (source / ".cache" / "a.png").write_bytes(b"")
    (source / "clip3" / "up").symlink_to(source)

    written = write_lmdb(source, tmp_path / "x.lmdb", codec)
    found = contents(tmp_path / "x.lmdb")
    assert sorted(found) == sorted(stored) and written.count == len(stored)
    lines = (tmp_path / "x.lmdb" / "meta_info.txt").read_text().splitlines()
    assert [line.partition(".")[0] for line in lines] == sorted(stored)
    for name, pixels in stored.items():
        assert decode(found[name]).dtype == pixels.dtype
        off = np.abs(decode(found[name]).astype(int) - pixels)
        assert off.max() <= (2 if name == "photo" else 0), name  # JPEG decoders may differ in rounding
        assert found[name].startswith(b"\x89PNG" if codec == "png" else raw.MAGIC)
        h, w, c = (*pixels.shape, 1)[:3]
        assert f"{name}.png ({h},{w},{c}) {1 if codec == 'png' else 'raw'}" in lines


def test_is_what_basicsr_writes_to_the_byte(tmp_path):
    source = make_folder(tmp_path / "in", 5)
    cv2.imwrite(str(source / "gray.png"), noise(13, 17))
    names = sorted(path.name for path in source.iterdir())
    keys = [name[:-4] for name in names]
    make_lmdb_from_imgs(str(source), str(tmp_path / "theirs.lmdb"), names, keys, map_size=1 << 24)
    written = write_lmdb(source, tmp_path / "new" / "ours.lmdb")

    ours, theirs = tmp_path / "new" / "ours.lmdb", tmp_path / "theirs.lmdb"
    assert sorted(path.name for path in ours.iterdir()) == LAYOUT
    assert contents(ours) == contents(theirs)
    assert (ours / "meta_info.txt").read_text() == (theirs / "meta_info.txt").read_text()
    assert written == (6, (ours / "data.mdb").stat().st_size, 0)
    assert str(written) == "6 images, 0.1 MB"


@both_codecs
def test_basicsr_trains_on_it(tmp_path, codec):
    gt, lq = make_folder(tmp_path / "gt", 3, (38, 30)), make_folder(tmp_path / "lq", 3, (19, 15))
    for folder in (gt, lq):
        write_lmdb(folder, f"{folder}.lmdb", codec)
    opt = {"dataroot_gt": f"{gt}.lmdb", "dataroot_lq": f"{lq}.lmdb", "phase": "val", "scale": 2}
    dataset = PairedImageDataset(opt | {"io_backend": {"type": "lmdb"}})
    assert len(dataset) == 3
    for i in range(3):
        for side, folder in (("gt", gt), ("lq", lq)):
            with Image.open(folder / f"{i:04d}.png") as image:
                expected = np.asarray(image).transpose(2, 0, 1) / np.float32(255)
            np.testing.assert_allclose(dataset[i][side].numpy(), expected, atol=1e-7)


@both_codecs
def test_the_map_grows_and_the_file_stays_compact(tmp_path, monkeypatch, codec):
    source = make_folder(tmp_path / "in", 40)
    monkeypatch.setattr(lmdb_module, "_FIRST_MAP", 1 << 16)
    monkeypatch.setattr(lmdb_module, "_COMMIT_BYTES", 1 << 14)
    written = write_lmdb(source, tmp_path / "x.lmdb", codec, workers=3)
    values = sum(len(value) for value in contents(tmp_path / "x.lmdb").values())
    data = (tmp_path / "x.lmdb" / "data.mdb").stat()
    # each value takes whole pages of 4 KiB, and the table of records some more
    assert 1 << 16 < values < data.st_size == written.size < values + 40 * 8192 + (1 << 16)
    assert data.st_blocks * 512 <= data.st_size + 4096


def block(database):
    """The options of a dataset that reads GT alone from a database."""
    return {"type": "FFHQDataset", "dataroot_gt": str(database), "io_backend": {"type": "lmdb"}}


# a forkserver child starts with everything imported and without this process's threads
KILLED = """
import os, signal
from ir_plugins.pictures import lmdb
lmdb._COMMIT_BYTES = 1 << 15
calls = 0
def die_at(function, number):
    def counted(*args, **kwargs):
        global calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return counted
{victim} = die_at({victim}, {number})
lmdb.write_lmdb({source!r}, {database!r}, {codec!r}, workers=2)
"""


def run_killed(source, database, victim, number, codec="png"):
    names = {"source": str(source), "database": str(database)}
    code = KILLED.format(**names, victim=victim, number=number, codec=codec)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["ir_plugins.pictures.lmdb"])
    child = server.Process(target=exec, args=(code,))
    child.start()
    child.join()
    return child.exitcode


@both_codecs
@pytest.mark.parametrize(
    "victim, number, kept",
    [
        ("lmdb._commit", 1, 0),
        ("lmdb._commit", 4, {"png": 20, "raw": 22}),  # the first clears away, the next two store 32 KB each
        ("lmdb._verify", 1, 60),
        ("lmdb.os.rename", 1, 0),  # the records are gone by then: all is done again
    ],
)
def test_a_killed_run_is_resumed(tmp_path, victim, number, kept, codec):
    source = make_folder(tmp_path / "in", 60)
    database, part = tmp_path / "x.lmdb", tmp_path / "x.lmdb.part"
    assert run_killed(source, database, victim, number, codec) == -signal.SIGKILL
    assert part.is_dir() and not database.exists()
    with pytest.raises(UserError, match=r"unfinished, there is only .*x\.lmdb\.part"):
        check_dataset("datasets:train", block(database))

    written = write_lmdb(source, database, codec)
    write_lmdb(source, tmp_path / "undisturbed.lmdb", codec)
    kept = kept if isinstance(kept, int) else kept[codec]
    assert written.kept == kept
    assert check_dataset("datasets:train", block(database)) == 60
    assert not part.exists() and sorted(path.name for path in database.iterdir()) == LAYOUT
    assert contents(database) == contents(tmp_path / "undisturbed.lmdb")
    meta = [(folder / "meta_info.txt").read_text() for folder in (database, tmp_path / "undisturbed.lmdb")]
    assert meta[0] == meta[1]
    assert ("60 of them kept from an interrupted run" in str(written)) == (kept == 60)


@both_codecs
def test_resuming_keeps_only_what_is_still_the_same_file(tmp_path, codec):
    source = make_folder(tmp_path / "in", 6)
    database = tmp_path / "x.lmdb"
    assert run_killed(source, database, "lmdb._verify", 1, codec) == -signal.SIGKILL

    (source / "0001.png").unlink()
    cv2.imwrite(str(source / "new.png"), noise(7, 5))
    # the same size in bytes and the same date, but other pixels
    before = (source / "0002.png").stat()
    pixels = decode((source / "0002.png").read_bytes())[::-1].copy()
    other = cv2.imencode(".png", pixels)[1].tobytes()
    (source / "0002.png").write_bytes(other + bytes(max(0, before.st_size - len(other))))
    os.utime(source / "0002.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(source / "0003.png")  # another date only

    written = write_lmdb(source, database, codec)
    found = contents(database)
    assert written.kept == 4 and list(found) == ["0000", "0002", "0003", "0004", "0005", "new"]
    np.testing.assert_array_equal(decode(found["0002"]), pixels)


@pytest.mark.parametrize("begun, codec", [("png", "raw"), ("raw", "png")])
def test_a_part_of_another_codec_is_refused(tmp_path, begun, codec):
    source = make_folder(tmp_path / "in", 3)
    database = tmp_path / "x.lmdb"
    assert run_killed(source, database, "lmdb._verify", 1, begun) == -signal.SIGKILL
    refused(source, database, f"x.lmdb.part was begun with --codec {begun}", "delete it", codec=codec)
    assert write_lmdb(source, database, begun).kept == 3


@both_codecs
def test_a_part_that_was_just_finished_may_become_of_another_codec(tmp_path, codec):
    source = make_folder(tmp_path / "in", 3)
    other = next(name for name in CODECS if name != codec)
    assert run_killed(source, tmp_path / "x.lmdb", "lmdb.os.rename", 1, other) == -signal.SIGKILL
    write_lmdb(source, tmp_path / "x.lmdb", codec)
    write_lmdb(source, tmp_path / "undisturbed.lmdb", codec)
    assert contents(tmp_path / "x.lmdb") == contents(tmp_path / "undisturbed.lmdb")


def test_a_part_of_an_older_version_is_written_again(tmp_path):
    source = make_folder(tmp_path / "in", 3)
    assert run_killed(source, tmp_path / "x.lmdb", "lmdb._verify", 1) == -signal.SIGKILL
    with lmdb.open(str(tmp_path / "x.lmdb.part"), max_dbs=1) as env:
        table = env.open_db(lmdb_module._RECORDS)
        with env.begin(db=table, write=True) as txn:
            old = {key: json.loads(record) for key, record in txn.cursor()}
            for key, record in old.items():
                txn.put(key, json.dumps({"source": record["source"], "shape": record["shape"]}).encode())
    assert write_lmdb(source, tmp_path / "x.lmdb").kept == 0


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
def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path, monkeypatch, codec):
    source = make_folder(tmp_path / "in", 3)
    commit = lmdb_module._commit

    def full(env, action):
        if action.__name__ == "store":
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")
        commit(env, action)

    with monkeypatch.context() as patch:
        patch.setattr(lmdb_module, "_commit", full)
        refused(
            source,
            tmp_path / "x.lmdb",
            "cannot be written",
            "No space left on device",
            "MB are free",
            "x.lmdb.part",
            codec=codec,
        )
    assert not (tmp_path / "x.lmdb").exists()
    assert write_lmdb(source, tmp_path / "x.lmdb", codec).count == 3


def flipped_once_stored(env, action):
    """In place of `_commit`: the second value loses a bit on its way to the disk."""
    with env.begin(write=True) as txn:
        action(txn)
        if action.__name__ == "store" and (value := txn.get(b"0001")):
            txn.put(b"0001", value[:-9] + bytes([value[-9] ^ 1]) + value[-8:])


@both_codecs
def test_a_single_wrong_bit_is_noticed_and_mended(tmp_path, monkeypatch, codec):
    source = make_folder(tmp_path / "in", 3)
    with monkeypatch.context() as patch:
        patch.setattr(lmdb_module, "_commit", flipped_once_stored)
        refused(source, tmp_path / "x.lmdb", "0001 did not read back", codec=codec)
    assert not (tmp_path / "x.lmdb").exists()
    assert write_lmdb(source, tmp_path / "x.lmdb", codec).kept == 2


def test_a_value_that_does_not_decode_is_written_again(tmp_path, monkeypatch):
    source = make_folder(tmp_path / "in", 3)
    encode = cv2.imencode
    with monkeypatch.context() as patch:
        patch.setattr(lmdb_module.cv2, "imencode", lambda *args: (True, encode(*args)[1][:-30]))
        refused(source, tmp_path / "x.lmdb", "0000, 0001, 0002 did not read back")
    assert write_lmdb(source, tmp_path / "x.lmdb") == (3, (tmp_path / "x.lmdb/data.mdb").stat().st_size, 0)


def refused(source, database, *says, **options):
    with pytest.raises(UserError) as error:
        write_lmdb(source, database, **options)
    message = str(error.value)
    assert all(text in message for text in says), message
    assert "\n" not in message
    return message


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


def read_all(database, count, unfinished):
    """In another process: read as soon as the database is there."""
    while True:
        try:
            assert check_dataset("datasets:train", block(database)) == count
        except UserError as error:
            assert "does not exist" in str(error) or "is unfinished" in str(error), error
            if "is unfinished" in str(error):
                unfinished.set()
        else:
            break
    reader = MappedLmdb(database)
    for number in range(count):
        np.testing.assert_array_equal(decode(reader.get(f"{number:04d}")), noise(37, 29, 3, seed=number))


@both_codecs
def test_another_process_never_meets_half_a_database(tmp_path, codec, monkeypatch):
    source = make_folder(tmp_path / "in", 30)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["ir_plugins.pictures.lmdb"])
    unfinished, verify = server.Event(), lmdb_module._verify
    monkeypatch.setattr(lmdb_module, "_verify", lambda *args: [unfinished.wait(60), *verify(*args)][1:])
    child = server.Process(target=read_all, args=(tmp_path / "x.lmdb", 30, unfinished))
    child.start()
    write_lmdb(source, tmp_path / "x.lmdb", codec)
    child.join(60)
    assert unfinished.is_set() and child.exitcode == 0


def test_an_existing_database_is_left_alone(tmp_path):
    source = make_folder(tmp_path / "in", 2)
    database = tmp_path / "x.lmdb"
    write_lmdb(source, database)
    before = contents(database)
    refused(source, database, "x.lmdb already exists", "delete it")
    assert contents(database) == before


def test_two_processes_cannot_write_the_same_database(tmp_path):
    source = make_folder(tmp_path / "in", 2)
    part = tmp_path / "x.lmdb.part"
    part.mkdir()
    with alone(part / "writing", "free"):
        refused(source, tmp_path / "x.lmdb", "being written by another process")
    assert write_lmdb(source, tmp_path / "x.lmdb").count == 2


def test_a_damaged_partial_database_is_named(tmp_path):
    source = make_folder(tmp_path / "in", 2)
    part = tmp_path / "x.lmdb.part"
    part.mkdir()
    (part / "data.mdb").write_bytes(b"x" * 8192)
    refused(source, tmp_path / "x.lmdb", "x.lmdb.part is damaged", "delete it")
    shutil.rmtree(part)
    part.write_bytes(b"")
    refused(source, tmp_path / "x.lmdb", "cannot be written", "x.lmdb.part")
