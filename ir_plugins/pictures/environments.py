"""One open environment for each LMDB folder: LMDB lets a process open no more."""

import os
import threading
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from ..runtime.errors import UserError

LMDB_READING = {"readonly": True, "lock": False, "readahead": False}
# weak: an environment closes with the last backend that reads from it
_environments: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
# per process: a fork may copy the lock while another thread holds it
_locks: dict[int, threading.Lock] = {}


def missing_key(key: str, folder: str) -> UserError:
    """The error for a key that an LMDB does not hold.

    Args:
        key: The key.
        folder: The LMDB.
    """
    return UserError(
        f"key '{key}' is not in the LMDB {folder}, though its meta_info.txt or your meta_info_file lists it; "
        "correct the list or create the LMDB again"
    )


def lmdb_environment(folder: str, options: dict[str, Any]) -> Any:
    """This process's open environment of an LMDB folder.

    Args:
        folder: The folder's real path.
        options: Arguments of lmdb.open; they count when the environment is opened.
    """
    process = os.getpid()
    with _locks.setdefault(process, threading.Lock()):
        for (owner, _), environment in list(_environments.items()):
            if owner != process:
                environment.close()  # a fork's copy, which lmdb would take for one opened here
        try:
            environment = _environments[process, folder]
            environment.path()  # raises once somebody closed it
        except (KeyError, lmdb.Error):
            environment = _environments[process, folder] = lmdb.open(folder, **options)
        return environment
