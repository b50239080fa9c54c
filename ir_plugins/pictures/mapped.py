"""Read an LMDB without copying its values out of the memory map."""

import os
from pathlib import Path
from typing import Any

import lmdb

from ..runtime.errors import UserError
from .environments import LMDB_READING, lmdb_environment


class MappedLmdb:
    """The values of an LMDB folder, as views of its memory map.

    A view is valid as long as this reader exists, in the process that asked for it; copy what you need
    longer.  A reader may be pickled and forked: each process reads through an environment of its own.

    Args:
        folder: the LMDB.
    """

    def __init__(self, folder: str | Path):
        self._folder = os.path.realpath(folder)
        self._environment: Any = None
        self._transaction: Any = None

    def get(self, key: str) -> memoryview:
        """The value of a key, read-only.  Raises UserError where it is missing."""
        # asked for again each time: a forked process may not use its parent's
        environment = lmdb_environment(self._folder, LMDB_READING)
        if environment is not self._environment:
            # never ended: nobody writes to a database that is read, so it holds nothing up
            self._environment, self._transaction = environment, environment.begin(buffers=True)
        try:
            value = self._transaction.get(key.encode())
        except lmdb.Error as error:
            raise UserError(f"key '{key}' of the LMDB {self._folder}: {error}; make it again") from None
        if value is None:
            raise UserError(
                f"key '{key}' is not in the LMDB {self._folder}, though its meta_info.txt or your "
                "meta_info_file lists it; correct the list or create the LMDB again"
            )
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_environment": None, "_transaction": None}
