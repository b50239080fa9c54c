"""Repair of how basicsr opens LMDBs."""

import os
from typing import Any

import lmdb

from ..pictures.environments import lmdb_environment, missing_key
from ..runtime.errors import UserError
from .images import SourcedBytes
from .rebinding import rebind


def share_lmdb_environments() -> None:
    """`lmdb.Error: The environment '...' is already open in this process.`

    Concerns any basicsr with a recent py-lmdb (seen in 3.0) once two datasets, or GT and LQ, read one folder.
    Also mends `UnicodeEncodeError` on a key and None for a missing one.  Delete when basicsr's own backend
    does what SharedLmdb does.
    """
    from basicsr.utils import file_client

    original, backends = file_client.LmdbBackend, file_client.FileClient._backends
    if backends["lmdb"] is original:
        file_client.BaseStorageBackend.register(SharedLmdb)
        backends["lmdb"] = SharedLmdb  # type: ignore[assignment]
        rebind(original, SharedLmdb)


class SharedLmdb:
    """BasicSR's LMDB backend, with one shared environment for each folder: a process may open no more.

    Args:
        db_paths: The LMDB, or several.
        client_keys: A name for each.
        readonly: As lmdb.open.
        lock: As lmdb.open.
        readahead: As lmdb.open.
        options: More arguments of lmdb.open.
    """

    def __init__(
        self,
        db_paths: str | os.PathLike | list,
        client_keys: str | list[str] = "default",
        readonly: bool = True,
        lock: bool = False,
        readahead: bool = False,
        **options: Any,
    ):
        self.db_paths = [str(path) for path in (db_paths if isinstance(db_paths, list) else [db_paths])]
        keys = [client_keys] if isinstance(client_keys, str) else client_keys
        self._folders = dict(zip(keys, map(os.path.realpath, self.db_paths), strict=True))
        self._options = {"readonly": readonly, "lock": lock, "readahead": readahead, **options}
        self._client = {key: lmdb_environment(folder, self._options) for key, folder in self._folders.items()}

    def get(self, filepath: Any, client_key: str = "default") -> SourcedBytes:
        folder = self._folders[client_key]
        # looked up each time: a forked worker holds its parent's environment, a spawned one none
        environment = self._client[client_key] = lmdb_environment(folder, self._options)
        with environment.begin(buffers=True) as transaction:
            try:
                value = transaction.get(str(filepath).encode())
            except lmdb.Error as error:
                raise UserError(f"key '{filepath}' of the LMDB {folder}: {error}; make it again") from None
            if value is None:
                raise missing_key(str(filepath), folder)
            return SourcedBytes.of(value, f"key '{filepath}' of the LMDB {folder}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_client": {}}  # an environment cannot be pickled
