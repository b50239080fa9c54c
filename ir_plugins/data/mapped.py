"""Read an LMDB without copying its pictures out of the file."""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..compat import SharedLmdb, lmdb_environment
from . import raw

_PAGE_HEADER = 16  # bytes, the first eight of them the number of the page


class MappedLmdb:
    """The values of an LMDB folder; those that hold raw pixels are views of its file.

    A view keeps the memory map alive by itself: it stays valid when the reader is gone, when LMDB closes the
    environment, and in a forked process.  A reader may be pickled and forked.
    """

    def __init__(self, folder: str | Path):
        self._folder = os.path.realpath(folder)
        self._reader = SharedLmdb(self._folder)
        self._map: mmap.mmap | None = None  # ours, not LMDB's: that one is gone once LMDB closes
        self._page = 0

    def get(self, key: str) -> memoryview:
        """The value of a key, read-only; one that is not `raw` is copied.  Raises UserError if missing."""
        with self._reader.lend(key) as value:
            start = self._where(value) if raw.is_raw(value) else None
            if start is None or self._map is None:
                return memoryview(bytes(value))
            return memoryview(self._map)[start : start + len(value)]

    def _where(self, value: memoryview) -> int | None:
        """Where in the file a value of LMDB's map begins; None where it cannot be told."""
        file = self._map or self._opened()
        # a value larger than a page begins behind the header of a page of its own
        address = np.frombuffer(value, np.uint8).__array_interface__["data"][0]
        number = ctypes.c_size_t.from_address(address - _PAGE_HEADER).value
        start = number * self._page + _PAGE_HEADER
        # with a digest in it no two headers are the same, whatever LMDB's file format becomes
        same = file[start : start + raw.HEADER_SIZE] == value[: raw.HEADER_SIZE]
        return start if same and start + len(value) <= len(file) else None

    def _opened(self) -> mmap.mmap:
        # the environment that `lend` has just used
        self._page = lmdb_environment(self._folder, {}).stat()["psize"]
        with open(os.path.join(self._folder, "data.mdb"), "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_map": None}  # a map cannot be pickled
