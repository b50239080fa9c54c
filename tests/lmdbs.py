"""Folders of noise, the LMDBs made of them, and a `write_lmdb` that is killed on its way."""

import re
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from children import exit_code

from ir_plugins.pictures import raw
from ir_plugins.pictures.lmdb import CODECS, write_lmdb
from ir_plugins.runtime.errors import UserError

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


def refused(source, database, *says, **options):
    with pytest.raises(UserError) as error:
        write_lmdb(source, database, **options)
    message = str(error.value)
    assert all(text in message for text in says), message
    assert "\n" not in message
    return message


def forge_size(data: Path, key: bytes) -> None:
    """Let the header of a value, 8 bytes before its key, say that it has 2 GB more; old pages hold copies."""
    content = bytearray(data.read_bytes())
    for found in re.finditer(key, bytes(content)):
        if content[found.start() - 2 : found.start()] == len(key).to_bytes(2, "little"):
            content[found.start() - 5] = 0x7F
    data.write_bytes(content)


def block(database):
    """The options of a dataset that reads GT alone from a database."""
    return {"type": "FFHQDataset", "dataroot_gt": str(database), "io_backend": {"type": "lmdb"}}


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
    return exit_code(code)
