"""Make pictures from files, in threads; a journal lets a killed run continue, and each file is verified."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...pictures.files import files_in
from ...pictures.lmdb import write_lmdb
from ...pictures.looks import decoded as decode
from ...pictures.looks import look_at_file
from ...pictures.raw import Broken
from ...pictures.writing import QUICK_PNG, write_picture
from ...runtime.errors import UserError, listed
from ...runtime.regular import MOST_TEXT, read_regular
from ...runtime.storage import written_whole
from ...runtime.threads import in_threads


class Output(NamedTuple):
    """A file to be made.

    Args:
        file: Its path.
        height: In pixels; 0 for a text.
        width: In pixels.
    """

    file: Path
    height: int
    width: int


class Job(NamedTuple):
    """Some files, and the outputs that are made from them.

    Args:
        name: The journal's name for the job.
        sources: The files.
        outputs: What is made.
        make: Gets the sources' bytes and yields, for each output in order, pixels (H, W) or (H, W, C), or the
            bytes of the file; it raises Broken before it yields anything.  None: the sources already are the
            outputs.
    """

    name: str
    sources: tuple[Path, ...]
    outputs: list[Output]
    make: Callable[[list[bytes]], Iterable[np.ndarray | bytes]] | None


class Journal:
    """A record of what earlier runs have finished: a JSON object in each line.

    Args:
        path: The file; it may be missing.
    """

    def __init__(self, path: Path):
        self.path = path
        self.settings: dict[str, Any] | None = None
        self.images: dict[str, str] = {}  # name of a job: digest of its sources
        self.databases: dict[str, str] = {}  # folder name: digest over all sources
        content = read_regular(path, MOST_TEXT) if os.path.lexists(path) else b""
        for line in content.decode(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # a ValueError also of a number without end
                continue  # blank, or cut off when a run was killed
            if not isinstance(entry, dict):
                continue
            self.settings = entry.get("settings", self.settings)
            self.images |= entry.get("images", {})
            self.databases |= entry.get("databases", {})

    def add(self, **entry: Any) -> None:
        """Append an entry, after a line break that ends a line which a killed run may have cut off."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(entry)}\n")


def decoded(content: bytes, height: int, width: int, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """The pixels of an image file, (H, W) or (H, W, C).

    Args:
        content: The bytes of the file.
        height: The least height, in pixels.
        width: The least width, in pixels.
        flag: OpenCV's, how to decode.

    Raises:
        Broken: It is no image of at least this size.
    """
    pixels = decode(content, flag)
    if pixels.shape[0] < height or pixels.shape[1] < width:
        raise Broken("damaged")
    return pixels


def refuse_foreign(
    settings: dict[str, Any], journal: Journal, jobs: Iterable[Job], folders: Iterable[Path]
) -> None:
    """Raise UserError if the folders hold anything that these jobs and settings do not make.

    Args:
        settings: Settings of this run.
        journal: Journal of the runs before.
        jobs: Jobs of this run.
        folders: What the jobs fill.
    """
    there = [str(folder) for folder in folders if folder.exists() and files_in(folder, recursive=True)]
    if journal.settings is None and there:
        raise UserError(f"--output: {listed(there)} was not made here; delete it or take another --output")
    if journal.settings is not None and journal.settings != settings:
        changed = [key for key in settings if journal.settings.get(key) != settings[key]]
        before = ", ".join(f"--{key} {journal.settings.get(key)}" for key in changed)
        raise UserError(
            f"--output: {journal.path} says the folders beside it were made with {before}; give the same, "
            "take another --output, or delete it and them"
        )
    expected = {output.file for job in jobs for output in job.outputs}
    for folder in folders:
        files = files_in(folder, recursive=True) if folder.exists() else []
        if extra := sorted(str(file.relative_to(folder)) for file in files if file not in expected):
            count = f"{len(extra)} of {len(files)}"
            raise UserError(f"{folder}: {count} files are of other inputs: {listed(extra)}; delete them")
        database = Path(f"{folder}.lmdb")
        if database.exists() and _key(folder, journal) not in journal.databases:
            raise UserError(f"--output: {database} was not made here; delete it or take another --output")


def make(jobs: Sequence[Job], journal: Journal, workers: int | None, *, option: str) -> None:
    """Write every output that is not there yet.

    Args:
        jobs: In the order of their reports.
        journal: What is finished; it is continued.
        workers: Threads; None for one per usable core.
        option: The option that named the sources; messages begin with it.

    Raises:
        UserError: Sources cannot be decoded.
    """

    def make_one(job: Job) -> str | None:
        contents = [read_regular(path) for path in job.sources]
        digest = hashlib.blake2b(digest_size=16)
        for content in contents:
            digest.update(content)
        done = journal.images.get(job.name) == digest.hexdigest()
        if job.make is None or (done and all(output.file.exists() for output in job.outputs)):
            return digest.hexdigest()
        try:
            made = job.make(contents)
        except Broken:
            return None
        if len(job.outputs) > 1:
            for output in job.outputs:  # they may be of other sources: the two must not mix
                output.file.unlink(missing_ok=True)
        for output, pixels in zip(job.outputs, made, strict=True):
            _write(output.file, pixels)
        return digest.hexdigest()

    for folder in sorted({output.file.parent for job in jobs for output in job.outputs}):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*.part"):
            leftover.unlink()
    damaged = []
    digests = in_threads(make_one, jobs, desc="writing", workers=workers)
    for job, digest in zip(jobs, digests, strict=True):
        if digest is None:
            damaged.append(" or ".join(map(str, job.sources)))
        elif journal.images.get(job.name) != digest:
            journal.images[job.name] = digest
            journal.add(images={job.name: digest})
    if damaged:
        raise UserError(f"{option}: {len(damaged)} images are damaged: {listed(damaged)}; replace them")


def _write(file: Path, content: np.ndarray | bytes) -> None:
    """Write pixels as a PNG, or bytes as they are."""
    if not isinstance(content, bytes):
        write_picture(file, content, level=QUICK_PNG)
        return
    with written_whole(file, durable=False) as whole:
        whole.write(content)


def verify(jobs: Iterable[Job], workers: int | None) -> None:
    """Compare the size of every written picture with the plan.

    Args:
        jobs: What was made.
        workers: Threads; None for one per usable core.

    Raises:
        UserError: A file is missing, damaged or of another size.
    """

    def fault(output: Output) -> str:
        try:
            seen = look_at_file(output.file)
        except Broken as error:
            return f"{output.file} ({error})"
        fits = (seen.height, seen.width) == (output.height, output.width)
        return "" if fits else f"{output.file} ({seen.height}x{seen.width})"

    outputs = [output for job in jobs for output in job.outputs if output.height]
    if faults := [text for text in in_threads(fault, outputs, desc="verifying", workers=workers) if text]:
        count = f"{len(faults)} of {len(outputs)}"
        raise UserError(f"{count} files are not as planned: {listed(faults)}; delete them and run again")


def pack(
    jobs: Iterable[Job], folders: Iterable[Path], journal: Journal, workers: int | None, codec: str = "png"
) -> None:
    """Pack every folder into the LMDB beside it, unless that holds the same images.

    Args:
        jobs: What the folders hold.
        folders: To be packed.
        journal: What is finished; it is continued.
        workers: Threads; None for one per usable core.
        codec: png or raw.

    Raises:
        UserError: An LMDB holds something else, or cannot be written.
    """
    content = _content(jobs, journal)
    if codec != "png":
        content = f"{codec} {content}"
    for folder in folders:
        database = Path(f"{folder}.lmdb")
        if not database.exists():
            # noted first: if the run is killed when the database appears, the next run must recognise it
            key = _key(folder, journal)
            journal.add(databases={key: content})
            journal.databases[key] = content
            write_lmdb(folder, database, codec=codec, workers=workers)
        elif journal.databases.get(_key(folder, journal)) != content:
            raise UserError(
                f"{database} holds other images than {folder} now, or in another codec; delete it and run "
                "again"
            )


def outdated(jobs: Iterable[Job], folders: Iterable[Path], journal: Journal) -> list[Path]:
    """The LMDBs that hold other pictures than their folders do now.

    Args:
        jobs: What the folders hold.
        folders: That may be packed.
        journal: What is finished.
    """
    content = _content(jobs, journal)
    packed = {Path(f"{folder}.lmdb"): journal.databases.get(_key(folder, journal)) for folder in folders}
    old = [path for path, known in packed.items() if known and known.split()[-1] != content]
    return [path for path in old if path.exists()]


def _content(jobs: Iterable[Job], journal: Journal) -> str:
    """A digest of the sources of all pictures."""
    inputs = json.dumps([(job.name, journal.images[job.name]) for job in jobs]).encode()
    return hashlib.blake2b(inputs, digest_size=16).hexdigest()


def _key(folder: Path, journal: Journal) -> str:
    """The journal's name for the LMDB of a folder."""
    return os.path.relpath(folder, journal.path.parent)
