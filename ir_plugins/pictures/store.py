"""Read pictures from a folder, or from an LMDB of encoded files or raw pixels."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..runtime.errors import UserError
from ..runtime.regular import reason_of
from .alpha import alpha_of
from .looks import Look, decoded, look_at_bytes, look_at_file, picture_bytes
from .mapped import MappedLmdb
from .raw import Broken, has_valid_checksum, is_raw, view

FLAGS = {
    "color": cv2.IMREAD_COLOR,
    "any": cv2.IMREAD_ANYCOLOR,  # gray files stay gray
    "deep": cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    "unchanged": cv2.IMREAD_UNCHANGED,
}
UNDECODABLE = "truncated or no image that OpenCV can decode"


def undecodable(where: str, content: bytes | memoryview, reason: object) -> UserError:
    """The error for a file that OpenCV cannot decode.

    Args:
        where: How the message names the picture.
        content: The bytes of the file.
        reason: Why, in a few words.
    """
    return UserError(f"{where} ({len(content)} bytes) is {reason}; replace or remove it")


class Store:
    """The pictures below one folder or in one LMDB.

    Args:
        root: The folder or LMDB.
        backend: disk or lmdb.
        flag: How an encoded picture is decoded: "color", to 8 bits, BGR; "any", the same, but gray stays
            gray; "deep", BGR of as many bits as it has; "unchanged".
    """

    def __init__(self, root: str, backend: str, flag: Literal["color", "any", "deep", "unchanged"]):
        self.root, self.flag = root, FLAGS[flag]
        self._database = MappedLmdb(root) if backend == "lmdb" else None

    def read(self, file: str, *, verified: bool = False) -> np.ndarray:
        """A picture, (H, W, C), uint8 or uint16, BGR.

        Raw pixels come as a view into the database, as they were stored, whatever the flag is; only the part
        that is used is read.

        Args:
            file: Its path below the root, or its key.
            verified: Compare all of the raw pixels with their checksum.

        Raises:
            UserError: It cannot be read.
        """
        content = self._content(file)
        try:
            if is_raw(content):
                pixels = view(content)
                if verified and not has_valid_checksum(content):
                    raise Broken("damaged")
                return pixels
        except Broken as error:
            raise UserError(f"{self.where(file)} is {error}; make the LMDB again") from None
        try:
            pixels = decoded(content, self.flag, UNDECODABLE)
        except Broken as error:
            raise undecodable(self.where(file), content, error) from None
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def alpha(self, file: str) -> np.ndarray | None:
        """The alpha channel of a picture, (H, W), uint8; None if it has none, or is opaque.

        Args:
            file: Its path below the root, or its key; `read` could read it.
        """
        return alpha_of(self._content(file))

    def look(self, file: str) -> Look:
        """Size and format of a picture, by its header.

        Args:
            file: Its path below the root, or its key.

        Raises:
            UserError: It is no image, or truncated.
        """
        try:
            if self._database:
                return look_at_bytes(self._database.get(file))
            return look_at_file(self.path(file))
        except Broken as error:
            raise UserError(f"{self.where(file)} is broken ({error}); replace or remove it") from None

    def path(self, file: str) -> str:
        """The path of a picture, or its key: `lq_path` or `gt_path` of an item."""
        return file if self._database else str(Path(self.root, file))

    def where(self, file: str) -> str:
        """How messages name a picture."""
        return f"key '{file}' of the LMDB {self.root}" if self._database else self.path(file)

    def _content(self, file: str) -> bytes | memoryview:
        if self._database:
            return self._database.get(file)
        try:
            return picture_bytes(Path(self.root, file))
        except OSError as error:
            raise UserError(
                f"{self.where(file)} cannot be read: {reason_of(error)}; mend or remove it"
            ) from None
