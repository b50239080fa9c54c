"""`write_lmdb` after a kill, a full disk and wrong bits, and beside other processes."""

import json
import os
import shutil
import signal
import sys

import cv2
import lmdb
import numpy as np
import pytest
from children import SERVER
from lmdbs import (
    LAYOUT,
    block,
    both_codecs,
    contents,
    decode,
    forge_size,
    make_folder,
    noise,
    refused,
    run_killed,
)

from ir_plugins.data.checks import check_dataset
from ir_plugins.pictures import lmdb as lmdb_module
from ir_plugins.pictures.lmdb import CODECS, write_lmdb
from ir_plugins.pictures.mapped import MappedLmdb
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone


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
    unfinished, verify = SERVER.Event(), lmdb_module._verify
    monkeypatch.setattr(lmdb_module, "_verify", lambda *args: [unfinished.wait(60), *verify(*args)][1:])
    child = SERVER.Process(target=read_all, args=(tmp_path / "x.lmdb", 30, unfinished))
    child.start()
    write_lmdb(source, tmp_path / "x.lmdb", codec)
    child.join(60)
    assert unfinished.is_set() and child.exitcode == 0


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


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_a_partial_database_that_kills_its_reader_is_named(tmp_path):
    source = make_folder(tmp_path / "in", 3)
    run_killed(source, tmp_path / "x.lmdb", "lmdb._verify", 1)
    forge_size(tmp_path / "x.lmdb.part/data.mdb", b"0001")
    refused(
        source, tmp_path / "x.lmdb", "data.mdb is damaged (reading it ended by SIG", "delete", "run again"
    )


@pytest.mark.parametrize("record", [b"{", b"[]", b"\xff", b"9" * 5000])
def test_a_part_with_a_damaged_record_is_named(tmp_path, record):
    source = make_folder(tmp_path / "in", 3)
    assert run_killed(source, tmp_path / "x.lmdb", "lmdb._verify", 1) == -signal.SIGKILL
    with lmdb.open(str(tmp_path / "x.lmdb.part"), max_dbs=1) as env:
        table = env.open_db(lmdb_module._RECORDS)
        with env.begin(db=table, write=True) as txn:
            txn.put(b"0001", record)
    refused(source, tmp_path / "x.lmdb", "data.mdb is damaged", "delete")
