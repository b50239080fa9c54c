"""Write a folder of images into an LMDB that BasicSR's datasets read; continue after an interruption.

`X.lmdb` appears when it is whole.  Until then everything lies in `X.lmdb.part`, a name that no dataset
accepts.  Each value is committed together with a record of its source file, so the next run keeps what a
killed run has committed, if the file is still the same.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lmdb
import numpy as np

from ..runtime.children import Crashed, in_child
from ..runtime.errors import UserError, listed
from ..runtime.locks import alone
from ..runtime.regular import NotRegular, open_regular, real, reason_of
from ..runtime.threads import in_threads, usable_cores
from . import raw
from .files import existing_folder, files_in, strangers
from .looks import decoded, look_at_bytes, look_at_file, picture_bytes
from .raw import Broken
from .writing import QUICK_PNG, encoded

CODECS = ("png", "raw")
_RECORDS = b"\1records"  # a database beside the images; the key of an image is printable
_COMMIT_BYTES = 32 << 20  # what a killed run loses at most
_LOCK_BYTES = 1 << 13  # LMDB's own default, for 126 readers
_FIRST_MAP = 1 << 30  # address space, not disk: data.mdb is only ever as long as what was written


class Written(NamedTuple):
    """A summary of what `write_lmdb` wrote.

    Args:
        count: Count of images.
        size: Size of data.mdb, in bytes.
        kept: How many images an interrupted run had already written.
    """

    count: int
    size: int
    kept: int

    def __str__(self) -> str:
        kept = f", {self.kept} of them kept from an interrupted run" if self.kept else ""
        return f"{self.count} images, {self.size / 1e6:.1f} MB{kept}"


class _Value(NamedTuple):
    key: str
    record: bytes | None  # None, as the data: the database already holds it
    data: bytes | None


def write_lmdb(
    folder: str | Path, database: str | Path, codec: str = "png", workers: int | None = None
) -> Written:
    """Write every image of a folder into a new LMDB.  When interrupted, call it again to continue.

    The key of an image is its path below the folder without the extension ("0001_s001", "clip3/00000007");
    meta_info.txt has the line "KEY.png (h,w,c) 1" for it, both as BasicSR wants them, with "raw" in place of
    PNG's level.  As in BasicSR, pixels are stored as the file has them: a photograph's EXIF rotation is not
    applied.

    Args:
        folder: Images of any size, subfolders included: 8 or 16 bit, gray or colour, with or without alpha.
        database: A path that ends in .lmdb and does not exist yet; missing parent folders are made.
        codec: "png", which BasicSR reads without this package too, or "raw", pixels that need no decoding;
            both are lossless.
        workers: Threads; default: one per usable core.

    Raises:
        UserError: A folder, file, name or database cannot be used, or the disk is full.
    """
    database = Path(database)
    if codec not in CODECS:
        raise UserError(f"codec: {codec!r} is unknown; take {' or '.join(CODECS)}")
    if database.suffix != ".lmdb":
        raise UserError(f"output: {database} must end in .lmdb, or BasicSR does not take it for one")
    _refuse_existing(database)
    sources = image_keys(existing_folder(folder, "input"), outside=database)
    workers = usable_cores() if workers is None else workers
    if workers < 1:
        raise UserError(f"workers: {workers} is too few; give 1 or more, or leave it out")
    part = Path(f"{database}.part")
    if codec == "raw":
        _refuse_too_large(sources, part, workers)
    try:
        part.mkdir(parents=True, exist_ok=True)
        with alone(part / "writing", f"{database} is being written by another process; wait for it"):
            _refuse_existing(database)  # the process that held the lock may just have finished it
            kept = _fill(part, sources, codec, workers)
            size = (part / "data.mdb").stat().st_size
            os.rename(part, database)
            (database / "writing").unlink()
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
        raise UserError(f"{part} is damaged ({error}); delete it and run the same command again") from None
    except (OSError, lmdb.Error) as error:
        # a disk that fills up during a write is an "Input/output error" to LMDB
        free = f"; {shutil.disk_usage(part).free / 1e6:.0f} MB are free there" if part.exists() else ""
        raise UserError(
            f"{database} cannot be written ({error}{free}); mend that and run the same command again: "
            f"it continues with what is in {part}"
        ) from None
    return Written(len(sources), size, kept)


def image_keys(folder: Path, *, outside: Path | None = None) -> dict[str, Path]:
    """The files below a folder by their LMDB keys, in the order of the keys.

    Args:
        folder: Where to look, subfolders included.
        outside: A path that must not lie in the folder.

    Raises:
        UserError: There are no files, one is no image, BasicSR cannot read a key, two files share one, or
            `outside` lies in the folder.
    """
    if outside is not None and real(folder) in real(outside).parents:
        raise UserError(f"output: {outside} lies in the input folder {folder}; put it beside that")
    files = files_in(folder, recursive=True, what="input")
    if not files:
        raise UserError(f"input: {folder} holds no files; name the folder that holds the images")
    if strange := strangers(files):
        raise UserError(f"input: {folder} holds files that are no images: {listed(strange)}; move them away")

    keys: dict[str, Path] = {}
    twins, unreadable = [], []
    for path in files:
        name = path.relative_to(folder)
        key = name.with_suffix("").as_posix()
        if key in keys:
            twins.append(f"{keys[key].relative_to(folder)} and {name}")
        # BasicSR ends a key at the first dot and encodes it as ASCII; LMDB takes 511 bytes
        if "." in key or not (key.isascii() and key.isprintable()) or len(key) > 511:
            unreadable.append(str(name))
        keys[key] = path
    if unreadable:
        raise UserError(
            f"input: BasicSR cannot read LMDB keys with a dot, beyond ASCII or longer than 511; rename in "
            f"{folder} (and in the folder it is paired with): {listed(map(ascii, unreadable))}"
        )
    if twins:
        raise UserError(f"input: {folder} has a key twice: {listed(twins)}; rename or remove one of them")
    return dict(sorted(keys.items()))


def _refuse_existing(database: Path) -> None:
    if database.exists():
        raise UserError(f"output: {database} already exists; delete it or name another")


def _refuse_too_large(sources: dict[str, Path], part: Path, workers: int) -> None:
    """Raise UserError if the pixels of these files cannot fit on the disk."""

    def size(path: Path) -> int:
        try:
            look = look_at_file(path)
        except Broken:  # named when it is its turn
            return 0
        length = look.height * look.width * look.channels * look.bits // 8 + raw.HEADER_SIZE
        return -(-(length + 16) // 4096) * 4096  # whole pages of LMDB, the first with a header

    needed = sum(in_threads(size, sources.values(), desc="measuring", workers=workers))
    disk = next(folder for folder in part.absolute().parents if folder.exists())
    data = part / "data.mdb"
    free = shutil.disk_usage(disk).free + (data.stat().st_size if data.exists() else 0)
    if needed > free:
        raise UserError(
            f"output: {part.with_suffix('')} takes {needed / 1e6:.0f} MB as raw pixels, {free / 1e6:.0f} MB "
            f"are free in {disk}; make room, name another disk, or take --codec png, about half of that"
        )


def _fill(part: Path, sources: dict[str, Path], codec: str, workers: int) -> int:
    """Make `part` the whole database, meta_info.txt included; return how many images it already held."""
    readers = 2 * workers + 8  # beyond `workers`: LMDB counts threads that have just ended
    _reserve(part, readers)
    _try_reading(part)
    with lmdb.open(str(part), map_size=_FIRST_MAP, max_dbs=1, max_readers=readers) as env:
        record_db = env.open_db(_RECORDS)
        with env.begin(db=record_db) as txn:
            records = _records(txn, part)
        begun = {record.get("codec", "png") for record in records.values()}
        if begun - {codec}:
            raise UserError(f"{part} was begun with --codec {begun.pop()}; give the same, or delete it")
        stale = [key for key in records if key not in sources]
        _commit(env, lambda txn: [_remove(txn, record_db, key) for key in stale])

        kept = _encode(env, record_db, sources, records, codec, workers)
        lines = _verify(env, record_db, sources, codec, workers)
        (part / "meta_info.txt").write_text("".join(lines))
        _commit(env, lambda txn: txn.drop(record_db))
        with env.begin() as txn:
            stored = [key.decode() for key in txn.cursor().iternext(values=False)]
        if stored != list(sources):
            raise UserError(f"{part} holds {len(stored)} keys, not {len(sources)}; delete it and run again")
        # LMDB may leave freed pages at the end unwritten; with them, a shorter file is known to be cut off
        with open(part / "data.mdb", "ab") as data:
            data.truncate(max(data.tell(), (env.info()["last_pgno"] + 1) * env.stat()["psize"]))
    return kept


def _reserve(part: Path, readers: int) -> None:
    """Write the whole lock file, which LMDB leaves empty and maps: on a full disk the map kills the process.

    Args:
        part: The folder, whose data.mdb may not be a pipe or a device either: LMDB would wait for it.
        readers: How many the lock file has room for.
    """
    data, lock = part / "data.mdb", part / "lock.mdb"
    if os.path.lexists(data):
        try:
            open_regular(data).close()
        except NotRegular as error:
            raise UserError(f"{data}: {reason_of(error)}; delete {part} and run again") from None
    lock.unlink(missing_ok=True)  # a killed run's; this process alone writes here
    with open(lock, "xb") as file:
        file.write(bytes(max(_LOCK_BYTES, 64 * (readers + 8))))  # 64: for each reader, and for the head
        os.fsync(file.fileno())


def _records(txn: Any, part: Path) -> dict[str, dict[str, Any]]:
    """What a run before this one has noted of each key.  Raises UserError."""
    try:
        records = {key.decode(): json.loads(bytes(record)) for key, record in txn.cursor()}
        if all(isinstance(record, dict) for record in records.values()):
            return records
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{part / 'data.mdb'} is damaged; delete {part} and run again")


def _try_reading(part: Path) -> None:
    """Raise UserError if what a killed run has left is damaged so that reading it kills the process."""

    def read() -> None:
        with (
            lmdb.open(str(part), readonly=True, lock=False, max_dbs=1) as env,
            env.begin(buffers=True) as txn,
        ):
            for database in (None, env.open_db(_RECORDS, txn, create=False)):
                for _, value in txn.cursor(database):
                    bytes(value[:1]), bytes(value[-1:])  # its pages lie between these two

    if not os.path.exists(part / "data.mdb"):
        return
    try:
        in_child(read)
    except lmdb.NotFoundError:  # killed before the first commit
        return
    except Crashed as crash:
        raise UserError(
            f"{part / 'data.mdb'} is damaged (reading it ended by {crash}); delete {part} and run again"
        ) from None


def _encode(
    env: Any, record_db: Any, sources: dict[str, Path], records: dict[str, Any], codec: str, workers: int
) -> int:
    """Store what is missing or was made from another file; return how many images were there already."""

    def prepare(item: tuple[str, Path]) -> _Value | str:
        key, path = item
        try:
            return _encoded(key, picture_bytes(path), records.get(key, {}), codec)
        except Broken as error:
            return f"{path} ({error})"
        except OSError as error:
            return f"{path} ({reason_of(error)})"

    def store(txn: Any) -> None:
        for value in waiting:
            txn.put(value.key.encode(), value.data)
            txn.put(value.key.encode(), value.record, db=record_db)

    kept, size = 0, 0
    broken: list[str] = []
    waiting: list[_Value] = []
    for value in in_threads(prepare, sources.items(), desc="encoding", workers=workers):
        if isinstance(value, str):
            broken.append(value)
        elif value.data is None:
            kept += 1
        else:
            waiting.append(value)
            size += len(value.data)
            if size >= _COMMIT_BYTES:
                _commit(env, store)
                waiting.clear()
                size = 0
    _commit(env, store)
    if broken:
        count = f"{len(broken)} of {len(sources)}"
        raise UserError(f"input: {count} files are unusable: {listed(broken)}; replace or remove them")
    return kept


def _encoded(key: str, data: bytes, known: dict[str, Any], codec: str) -> _Value:
    """The value for one file.  Raises Broken."""
    # by content, not by size and date: a copy may have another date, and another file the same one; reading
    # a file costs little beside encoding it
    source = _digest(data)
    if known.get("source") == source and "stored" in known:  # older versions noted less
        return _Value(key, None, None)
    look_at_bytes(memoryview(data))
    pixels = decoded(data, cv2.IMREAD_UNCHANGED)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise Broken(f"{pixels.dtype} pixels; 8 and 16 bits can be stored")
    value = raw.encode(pixels) if codec == "raw" else encoded(pixels, level=QUICK_PNG)
    shape = (*pixels.shape, 1)[:3]
    record = {"source": source, "codec": codec, "stored": _digest(value), "shape": shape}
    return _Value(key, json.dumps(record).encode(), value)


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _verify(env: Any, record_db: Any, sources: dict[str, Path], codec: str, workers: int) -> list[str]:
    """Read every value back and compare it with its record; return the lines of meta_info.txt."""
    last = QUICK_PNG if codec == "png" else codec  # BasicSR reads no further than the first dot

    def check(key: str) -> tuple[str, str | None]:
        with env.begin(buffers=True) as txn:
            record = json.loads(bytes(txn.get(key.encode(), db=record_db)))
            value = txn.get(key.encode())
            # a damaged picture may still decode
            try:
                whole = _digest(value) == record["stored"] and _shape(value, codec) == record["shape"]
            except Broken:
                whole = False
        h, w, c = record["shape"]
        return key, f"{key}.png ({h},{w},{c}) {last}\n" if whole else None

    lines = dict(in_threads(check, list(sources), desc="verifying", workers=workers))
    if bad := [key for key, line in lines.items() if line is None]:
        _commit(env, lambda txn: [_remove(txn, record_db, key) for key in bad])
        raise UserError(f"{listed(bad)} did not read back from {env.path()}; check the disk and run again")
    return [line for line in lines.values() if line is not None]


def _shape(value: memoryview, codec: str) -> list[int]:
    """[h, w, c] of a stored picture.  Raises Broken."""
    if codec == "raw":
        return list(raw.view(value).shape)
    return [*decoded(value, cv2.IMREAD_UNCHANGED).shape, 1][:3]


def _remove(txn: Any, record_db: Any, key: str) -> None:
    txn.delete(key.encode())
    txn.delete(key.encode(), db=record_db)


def _commit(env: Any, action: Callable[[Any], object]) -> None:
    """Run `action` in one write transaction, with as much address space as it takes."""
    while True:
        try:
            with env.begin(write=True) as txn:
                action(txn)
                return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])
