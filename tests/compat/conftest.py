"""Fixtures of the tests of the repairs."""

import sys
from pathlib import Path

import lmdb
import pytest
from repairs import picture, png


@pytest.fixture
def modules():
    """Hands out sys.modules and puts it back as it was."""
    before = dict(sys.modules)
    yield sys.modules
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def store(tmp_path) -> Path:
    """An LMDB of four images: fine, one of a Unicode name, a truncated and an empty one."""
    folder = tmp_path / "pictures.lmdb"
    content = {"fine": png(picture()), "größe": png(picture()), "half": png(picture())[:400], "empty": b""}
    with (
        lmdb.open(str(folder), map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in content.items():
            transaction.put(key.encode(), value)
    (folder / "meta_info.txt").write_text("fine.png (23,17,3) 1\nhalf.png (23,17,3) 1\n")
    return folder
