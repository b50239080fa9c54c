"""Read an LMDB without copying its values out of the memory map."""

import os
from pathlib import Path
from typing import Any

import lmdb

from ..runtime.errors import UserError
from .environments import LMDB_READING, lmdb_environment, missing_key


class MappedLmdb:
    """The values of an LMDB folder, as views of its memory map.

    A view is valid as long as this reader exists, in the process that asked for it; copy what you need
    longer.  A reader may be pickled and forked: each process reads through an environment of its own.

    Args:
        folder: The LMDB.
    """

    def __init__(self, folder: str | Path):
        self._folder = os.path.realpath(folder)
        self._environment: Any = None
        self._transaction: Any = None

    def get(self, key: str) -> memoryview:
        """The value of a key, read-only.  Raises UserError if it is missing."""
        # looked up each time: a forked process may not use its parent's environment
        environment = lmdb_environment(self._folder, LMDB_READING)
        if environment is not self._environment:
            # the transaction stays open: nobody writes to this database, so it blocks nobody
            self._environment, self._transaction = environment, environment.begin(buffers=True)
        try:
            value = self._transaction.get(key.encode())
        except lmdb.Error as error:
            raise UserError(f"key '{key}' of the LMDB {self._folder}: {error}; make it again") from None
        if value is None:
            raise missing_key(key, self._folder)
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_environment": None, "_transaction": None}
