"""The one environment that a process may open of each LMDB folder."""

import os
import threading
from typing import Any
from weakref import WeakValueDictionary

import lmdb

LMDB_READING = {"readonly": True, "lock": False, "readahead": False}
# weak: an environment closes with the last backend that reads from it
_environments: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
# per process: a fork may copy the lock while another thread holds it
_locks: dict[int, threading.Lock] = {}


def lmdb_environment(folder: str, options: dict[str, Any]) -> Any:
    """This process's open environment of an LMDB folder.

    Args:
        folder: its real path.
        options: of lmdb.open; the first call's count.
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
