"""One open environment for each LMDB folder: LMDB lets a process open no more."""

import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import lmdb

from ..runtime.errors import UserError
from ..runtime.regular import open_regular, reason_of

LMDB_READING = {"readonly": True, "lock": False, "readahead": False}
# weak: an environment closes with the last backend that reads from it
_environments: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()


class _Data(NamedTuple):
    """The data.mdb of an environment: what its memory map maps, whatever becomes of the name.

    Args:
        file: Open.
        size: Bytes that it had when it was opened and that its pages take: with fewer, reading the map would
            kill the process.
    """

    file: BinaryIO
    size: int


_data: WeakKeyDictionary[Any, _Data] = WeakKeyDictionary()
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

    Raises:
        UserError: It cannot be opened, or its data was cut off since.
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
            environment = _environments[process, folder] = _opened(folder, options)
    file, size = _data[environment]
    if (left := os.fstat(file.fileno()).st_size) < size:
        raise _cut_off(folder, left)
    return environment


def whole_lmdb_environment(folder: str) -> Any:
    """`lmdb_environment` for reading, of a database that is not cut off, as a half-copied one is.

    Args:
        folder: The folder's real path.

    Raises:
        UserError: It cannot be opened, or is cut off.
    """
    environment = lmdb_environment(folder, LMDB_READING)
    size = os.fstat(_data[environment].file.fileno()).st_size
    if size < _needed(environment):
        raise _cut_off(folder, size)
    return environment


def _opened(folder: str, options: dict[str, Any]) -> Any:
    data = Path(folder, "data.mdb")
    try:
        file = open_regular(data)  # LMDB would wait for the writer of a pipe
        environment = lmdb.open(folder, **options)
    except OSError as error:
        raise UserError(f"{data} cannot be read: {reason_of(error)}; mend that") from None
    except lmdb.Error as error:
        raise UserError(f"{folder} cannot be opened ({error}); make it again") from None
    _data[environment] = _Data(file, min(os.fstat(file.fileno()).st_size, _needed(environment)))
    return environment


def _needed(environment: Any) -> int:
    """The bytes of all pages, though LMDB may leave freed ones at the end unwritten."""
    return (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]


def _cut_off(folder: str, size: int) -> UserError:
    return UserError(f"{folder}/data.mdb is cut off after {size} bytes; copy or make it again")
