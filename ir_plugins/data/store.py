"""Pictures where they are stored: in a folder, or in an LMDB of encoded files or of raw pixels."""

from pathlib import Path

import cv2
import numpy as np

from basicsr.utils import FileClient, imfrombytes

from ..errors import UserError
from .mapped import MappedLmdb
from .raw import Broken, is_raw, view


class Store:
    """The pictures below one folder or in one LMDB.

    backend: disk or lmdb.  flag: how an encoded picture is decoded, "color" (8 bits, BGR) or "unchanged".
    """

    def __init__(self, root: str, backend: str, flag: str):
        self.root, self.flag = root, flag
        self._client = MappedLmdb(root) if backend == "lmdb" else FileClient("disk")

    def read(self, file: str) -> np.ndarray:
        """The picture at a path below the root, or under a key: (H, W, C), uint8 or uint16, BGR.

        Of raw pixels it is a view into the database, as they were stored whatever the flag is: only the part
        that is used is read at all.  Raises UserError, naming the picture, where it cannot be read.
        """
        if isinstance(self._client, MappedLmdb):
            content = self._client.get(file)
            if is_raw(content):
                try:
                    return view(content)
                except Broken as error:
                    raise UserError(f"{self.where(file)} is {error}; make the LMDB again") from None
            content = bytes(content)
        else:
            content = self._client.get(self.path(file))
        try:
            pixels = np.asarray(imfrombytes(content, self.flag))
        except UserError as error:
            raise UserError(str(error).replace("what was read", self.where(file))) from None
        except cv2.error as error:
            raise UserError(f"{self.where(file)} cannot be decoded: {error.err}") from None
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def path(self, file: str) -> str:
        """The path of the file, or the key: what an item tells of its pictures."""
        return file if isinstance(self._client, MappedLmdb) else str(Path(self.root, file))

    def where(self, file: str) -> str:
        """The picture in words."""
        inside = isinstance(self._client, MappedLmdb)
        return f"key '{file}' of the LMDB {self.root}" if inside else self.path(file)
