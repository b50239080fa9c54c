"""Cut high-resolution images and their MATLAB-bicubic low-resolution copies into crops, resumably."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..errors import UserError
from .files import Broken, files_in, in_threads, listed, look_at_file
from .lmdb import write_lmdb
from .resize import imresize


class Crop(NamedTuple):
    """A part of an HR image in pixels; for every scale each number is a multiple of it."""

    name: str
    top: int
    left: int
    height: int
    width: int


class Picture(NamedTuple):
    """An input image, the size it is trimmed to in pixels, and the files it becomes in every folder."""

    stem: str
    path: Path
    height: int
    width: int
    crops: list[Crop]


class Journal:
    """What earlier runs have finished, one JSON object a line: settings, then images and LMDBs by content."""

    def __init__(self, path: Path):
        self.path = path
        self.settings: dict[str, Any] | None = None
        self.images: dict[str, str] = {}  # stem: digest of the input file
        self.databases: dict[str, str] = {}  # folder name: digest over all inputs
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # what a killed run was about to write, or blank
            self.settings = entry.get("settings", self.settings)
            self.images |= entry.get("images", {})
            self.databases |= entry.get("databases", {})

    def add(self, **entry: Any) -> None:
        """Append an entry; the line break before it ends what a killed run may have left."""
        with open(self.path, "a") as file:
            file.write(f"\n{json.dumps(entry)}\n")


def lay_out(stem: str, height: int, width: int, *, crop_size: int, step: int, thresh_size: int) -> list[Crop]:
    """The crops of an image as BasicSR's extract_subimages places and numbers them; sizes in pixels.

    A grid of `step`, and a last crop flush with the edge where more than `thresh_size` pixels are left over.
    Other than in BasicSR a side shorter than `crop_size` is taken whole.
    """

    def starts(length: int) -> list[int]:
        last = max(0, length - crop_size)
        grid = list(range(0, last + 1, step))
        return [*grid, last] if last - grid[-1] > thresh_size else grid

    corners = [(top, left) for top in starts(height) for left in starts(width)]
    return [
        Crop(f"{stem}_s{number:03d}.png", top, left, min(crop_size, height), min(crop_size, width))
        for number, (top, left) in enumerate(corners, 1)
    ]


def refuse_foreign(
    settings: dict[str, Any], journal: Journal, pictures: list[Picture], folders: dict[int, Path]
) -> None:
    """Raise UserError where the folders hold what these pictures and settings do not make."""
    there = [str(folder) for folder in folders.values() if folder.exists()]
    if journal.settings is None and there:
        raise UserError(f"--output: {listed(there)} was not made here; delete it or take another --output")
    if journal.settings is not None and journal.settings != settings:
        changed = [key for key in settings if journal.settings.get(key) != settings[key]]
        before = ", ".join(f"--{key} {journal.settings.get(key)}" for key in changed)
        raise UserError(
            f"--output: {journal.path} says the folders beside it were made with {before}; give the same, "
            "take another --output, or delete it and them"
        )
    expected = {crop.name for picture in pictures for crop in picture.crops}
    for folder in folders.values():
        names = [path.name for path in files_in(folder)] if folder.exists() else []
        if extra := sorted(set(names) - expected):
            count = f"{len(extra)} of {len(names)}"
            raise UserError(f"{folder}: {count} files are of other inputs: {listed(extra)}; delete them")
        database = Path(f"{folder}.lmdb")
        if database.exists() and folder.name not in journal.databases:
            raise UserError(f"--output: {database} was not made here; delete it or take another --output")


def make(pictures: list[Picture], folders: dict[int, Path], journal: Journal, workers: int | None) -> None:
    """Write every crop that is not there yet, as 8-bit colour; folders: by scale, 1 for HR.

    Raises UserError naming the images that cannot be decoded.
    """

    def make_one(picture: Picture) -> str | None:
        data = picture.path.read_bytes()
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        files = [folder / crop.name for folder in folders.values() for crop in picture.crops]
        if journal.images.get(picture.stem) == digest and all(file.exists() for file in files):
            return digest
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # (H, W, 3)
        if image is None or image.shape[0] < picture.height or image.shape[1] < picture.width:
            return None
        image = image[: picture.height, : picture.width]
        for file in files:
            file.unlink(missing_ok=True)  # of another image by this name: never both at once
        for scale, folder in folders.items():
            # the image is made small before it is cut: a crop's edge is no edge of the picture
            pixels = image if scale == 1 else imresize(image, 1 / scale)
            for crop in picture.crops:
                top, left, height, width = (number // scale for number in crop[1:])
                _write(folder / crop.name, pixels[top : top + height, left : left + width])
        return digest

    for folder in folders.values():
        folder.mkdir(exist_ok=True)
        for leftover in folder.glob(".*.part"):
            leftover.unlink()
    damaged = []
    digests = in_threads(make_one, pictures, desc="cutting", workers=workers)
    for picture, digest in zip(pictures, digests, strict=True):
        if digest is None:
            damaged.append(str(picture.path))
        elif journal.images.get(picture.stem) != digest:
            journal.images[picture.stem] = digest
            journal.add(images={picture.stem: digest})
    if damaged:
        raise UserError(f"--input: {len(damaged)} images are damaged: {listed(damaged)}; replace them")


def _write(file: Path, pixels: np.ndarray) -> None:
    """Write a PNG that is there wholly or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
    os.replace(part, file)


def verify(pictures: list[Picture], folders: dict[int, Path], workers: int | None) -> None:
    """Compare the size of every written file with the plan.  Raises UserError."""

    def fault(item: tuple[int, Crop]) -> str:
        scale, crop = item
        file = folders[scale] / crop.name
        try:
            seen = look_at_file(file)
        except Broken as error:
            return f"{file} ({error})"
        fits = (seen.height * scale, seen.width * scale) == (crop.height, crop.width)
        return "" if fits else f"{file} ({seen.height}x{seen.width})"

    items = [(scale, crop) for scale in folders for picture in pictures for crop in picture.crops]
    if faults := [text for text in in_threads(fault, items, desc="verifying", workers=workers) if text]:
        count = f"{len(faults)} of {len(items)}"
        raise UserError(f"{count} files are not as planned: {listed(faults)}; delete them and run again")


def pack(pictures: list[Picture], folders: dict[int, Path], journal: Journal, workers: int | None) -> None:
    """Pack every folder into the LMDB beside it, unless that holds the same images.  Raises UserError."""
    inputs = json.dumps([(picture.stem, journal.images[picture.stem]) for picture in pictures]).encode()
    content = hashlib.blake2b(inputs, digest_size=16).hexdigest()
    for folder in folders.values():
        database = Path(f"{folder}.lmdb")
        if not database.exists():
            # said first: a run killed just after the database appears must know it again
            journal.add(databases={folder.name: content})
            write_lmdb(folder, database, workers=workers)
        elif journal.databases.get(folder.name) != content:
            raise UserError(f"{database} holds other images than {folder} now; delete it and run again")
