"""Load a file of torch.save or safetensors once it is known to be whole and what it says to be true."""

import hashlib
import io
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..runtime.regular import open_regular
from .announced import BadArchive, Damaged, HoldsCode, OtherTensors, Storage
from .pickles import MOST_PICKLED, follow

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of files before torch 1.6
DIGEST = "ir_plugins.sha256"  # the key of safetensors' metadata under which this package keeps `digest_of`


def load(path: str | Path) -> tuple[Any, dict[str, str]]:
    """The content of a file that `check` passes; nothing of it is run, and its tensors lie on the CPU.

    Args:
        path: A file of torch.save or, if its name says so, of safetensors.

    Returns:
        The content, and the metadata of a safetensors file.

    Raises:
        BadArchive: See `check`.
        OSError: See `check`.
    """
    check(path)
    with _in_one_line():
        if Path(path).suffix == ".safetensors":
            with safetensors.safe_open(path, "pt") as stored:
                metadata = stored.metadata() or {}
            weights = safetensors.torch.load_file(path)
            if DIGEST in metadata and metadata[DIGEST] != digest_of(weights):
                raise Damaged
            return weights, metadata
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other protocols
            return torch.load(path, map_location="cpu", weights_only=True), {}


def check(path: str | Path) -> None:
    """Compare the checksums and sizes of a file, and follow what it would build.

    Checksums are those of zip; files before torch 1.6 have none.  `load` compares those of safetensors, which
    only this package writes.

    Args:
        path: A file of torch.save or, if its name says so, of safetensors.

    Raises:
        BadArchive: The file is damaged, or holds code or other tensors than dense ones within its size.
        OSError: It cannot be opened, or is no regular file.
    """
    with open_regular(path) as file, _in_one_line():
        begin = file.read(4)
        if not begin:
            raise BadArchive("it is empty")
        if Path(path).suffix == ".safetensors":
            with safetensors.safe_open(path, "pt"):  # it compares sizes
                return
        file.seek(0)
        (_check_zip if begin == b"PK\3\4" else _check_old)(file)


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """A SHA-256 of names, types, shapes and numbers.

    Args:
        weights: A state dict.
    """
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Turn whatever a file raises into a BadArchive with a whole sentence."""
    try:
        yield
    except HoldsCode as code:
        raise BadArchive(
            f"holds code ({code}) rather than weights alone, and was not run; "
            "get a file that holds a plain state dict"
        ) from code
    except OtherTensors as kind:
        raise BadArchive(f"holds {kind} tensors; save it with dense ones of plain numbers") from kind
    except BadArchive as error:
        raise BadArchive(f"cannot be read: {error}; name another file") from error
    except Exception as error:  # torch, safetensors and zipfile report damage as unrelated classes
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise BadArchive("cannot be read: it needs more memory than there is") from error
        raise BadArchive(f"cannot be read: {Damaged()}; name another file") from error


def _check_zip(file: BinaryIO) -> None:
    """Compare every checksum, follow the pickle, and compare the storages that it announces with the records.

    torch writes a checksum of each record, but does not compare it when it reads.
    """
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        records = {record.filename.lower(): record for record in archive.infolist()}
        root = archive.infolist()[0].filename.partition("/")[0]
        if any(record.compress_type != zipfile.ZIP_STORED for record in records.values()):
            if f"{root}/constants.pkl".lower() in records:
                raise HoldsCode("TorchScript")
            raise BadArchive("it is a packed archive; unpack it, or save it with torch.save")
        # torch ignores case, so two records may go by one name
        if len(records) != len(archive.infolist()) or sum(r.file_size for r in records.values()) > size:
            raise Damaged
        if archive.testzip() is not None:
            raise Damaged
        if f"{root}/constants.pkl".lower() in records:
            raise HoldsCode("TorchScript")
        pickle = archive.getinfo(f"{root}/data.pkl")
        if pickle.file_size > MOST_PICKLED:
            raise Damaged
        _, storages = follow(io.BytesIO(archive.read(pickle)), pickle.file_size)
        for storage in storages.values():
            if archive.getinfo(f"{root}/data/{storage.key}").file_size != storage.count * storage.item:
                raise Damaged


def _check_old(file: BinaryIO) -> None:
    """A file before torch 1.6: five pickles, then each storage, its length before it, and nothing more."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)

    def next_pickle() -> tuple[Any, dict[str, Storage]]:
        return follow(file, size - file.tell())

    magic, _ = next_pickle()
    if magic != MAGIC or next_pickle()[0] != PROTOCOL:
        raise Damaged
    next_pickle()  # the kind of machine
    _, storages = next_pickle()
    keys, _ = next_pickle()
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise Damaged
    for key in keys:
        storage, there = storages[key], int.from_bytes(file.read(8), sys.byteorder)
        if there != storage.count or file.tell() + storage.count * storage.item > size:
            raise Damaged
        file.seek(storage.count * storage.item, io.SEEK_CUR)
    if file.tell() != size:
        raise Damaged
