"""Parts of a preset that are not folders of pictures: blocks and boxes in MATLAB files, lists of pairs."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pictures.looks import look_at_file
from ...pictures.raw import Broken
from ...runtime.errors import UserError, listed
from ...runtime.regular import open_regular, read_regular, real
from ...runtime.threads import in_threads
from .jobs import Job, Output
from .parts import Count, Plan, refuse
from .sources import Source, numbered_columns


@dataclass(frozen=True)
class Blocks:
    """A pair of arrays (scenes, blocks, H, W, 3), uint8, in two MATLAB files: SIDD's validation blocks.

    They become SCENE_BLOCK.png, both counted from 1.

    Args:
        folder: Below the output.
        files: By role, the name of the MATLAB file.
        published: How many the published set has.
        optional: The set is fine without them.
    """

    folder: str
    files: dict[str, str]
    published: int | None = None
    optional: bool = False

    def expected(self) -> list[str]:
        return ["   ".join(self.files.values())]

    def plan(self, sources: Sequence[Source], output: Path, workers: int | None) -> Plan | None:
        candidates = [
            [file for source in sources for file in source.found(name)] for name in self.files.values()
        ]
        if not all(candidates):
            return None
        paths = tuple(files[0] for files in candidates)
        shapes = {path: _shape(path) for path in paths}
        if len(set(shapes.values())) > 1:
            found = " and ".join(f"{path} {shape}" for path, shape in shapes.items())
            raise UserError(f"--source: {found} do not go together; download both again")
        scenes, blocks, h, w, _ = shapes[paths[0]]
        names = [
            f"{scene:04d}_{block:02d}.png" for scene in range(1, scenes + 1) for block in range(1, blocks + 1)
        ]
        folders = [output / self.folder / role for role in self.files]

        def make(contents: list[bytes]) -> Iterator[np.ndarray]:
            arrays = [_array(content) for content in contents]
            # RGB there, BGR here
            return (array[i, j, :, :, ::-1] for array in arrays for i in range(scenes) for j in range(blocks))

        outputs = [Output(folder / name, h, w) for folder in folders for name in names]
        jobs = [Job(f"{self.folder}/blocks", paths, outputs, make)]
        return Plan(jobs, folders, counts=[Count(self.folder, len(names), self.published)])


def _shape(path: Path) -> tuple[int, ...]:
    """The shape of the array in a MATLAB file, without reading it.  Raises UserError."""
    import scipy.io  # half a second, for SIDD alone

    try:
        with open_regular(path) as file:
            arrays = [(shape, kind) for _, shape, kind in scipy.io.whosmat(file)]
    except NotImplementedError:
        raise UserError(f"--source: {path} is of MATLAB 7.3; the published one is of MATLAB 5") from None
    except Exception as error:  # scipy raises whatever the bytes lead to
        raise UserError(f"--source: {path} cannot be read ({error}); download it again") from None
    for shape, kind in arrays:
        if len(shape) == 5 and shape[-1] == 3 and kind == "uint8":
            return shape
    raise UserError(f"--source: {path} holds {arrays}, not uint8 (scenes, blocks, height, width, 3)")


def _array(content: bytes) -> np.ndarray:
    import scipy.io

    try:
        arrays = scipy.io.loadmat(io.BytesIO(content)).values()
    except Exception:
        raise Broken("damaged") from None
    return next(array for array in arrays if isinstance(array, np.ndarray) and array.ndim == 5)


@dataclass(frozen=True)
class Boxes:
    """DND: images_srgb/0001.mat ... as float in 0..1, and info.mat with the 20 boxes of each that are scored.

    Each box becomes a PNG of 16 bits, IMAGE_BOX.png, both counted from 1: this rounds 257 times finer than 8
    bits, and the server scores results of unrounded pixels.

    Args:
        folder: Below the output.
        published: How many boxes the published set has.
        optional: The set is fine without them.
    """

    folder: str
    published: int | None = None
    optional: bool = False

    def expected(self) -> list[str]:
        return ["info.mat   images_srgb/0001.mat, 0002.mat, ..."]

    def plan(self, sources: Sequence[Source], output: Path, workers: int | None) -> Plan | None:
        infos = [file for source in sources for file in source.found("info.mat")]
        if not infos:
            return None
        images = sorted(infos[0].parent.glob("images_srgb/*.mat"))
        if not images:
            return None
        boxes = _boxes(infos[0])
        if len(boxes) != len(images):
            raise UserError(f"--source: {infos[0]} is about {len(boxes)} images, but there are {len(images)}")
        folder = output / self.folder
        shapes = list(in_threads(_image_shape, images, desc="looking", workers=workers))
        faults = []
        for path, shape, own in zip(images, shapes, boxes, strict=True):
            if isinstance(shape, str):
                faults.append(f"{path} ({shape})")
            elif any(not (0 <= t < b <= shape[0] and 0 <= left < r <= shape[1]) for t, left, b, r in own):
                faults.append(f"{path} ({shape[0]}x{shape[1]}, and a box reaches beyond)")
        refuse(faults, len(images))
        jobs = [self._job(folder, path, own) for path, own in zip(images, boxes, strict=True)]
        count = sum(len(own) for own in boxes)
        return Plan(jobs, [folder], counts=[Count(self.folder, count, self.published)])

    def _job(self, folder: Path, path: Path, boxes: list[tuple[int, int, int, int]]) -> Job:
        outputs = [
            Output(folder / f"{path.stem}_{number:02d}.png", bottom - top, right - left)
            for number, (top, left, bottom, right) in enumerate(boxes, 1)
        ]

        def make(contents: list[bytes]) -> Iterator[np.ndarray]:
            try:
                with _h5py().File(io.BytesIO(contents[0]), "r") as file:
                    image = np.asarray(file["InoisySRGB"]).T  # (H, W, 3), RGB
            except (OSError, KeyError, ValueError):
                raise Broken("damaged") from None
            image = np.round(np.clip(image[..., ::-1], 0, 1) * 65535).astype(np.uint16)
            return (image[top:bottom, left:right] for top, left, bottom, right in boxes)

        return Job(f"{self.folder}/{path.stem}", (path,), outputs, make)


def _h5py() -> Any:
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("--source: DND comes in HDF5 files, which need h5py: pip install h5py") from None
    return h5py


def _boxes(info: Path) -> list[list[tuple[int, int, int, int]]]:
    """The boxes of every image: top, left, and bottom, right just outside, in pixels from 0."""
    h5py = _h5py()
    try:
        with open_regular(info) as source, h5py.File(source, "r") as file:
            references = np.asarray(file["info"]["boundingboxes"]).ravel()
            tables = [np.asarray(file[reference]).T.astype(int) for reference in references]  # each (20, 4)
        return [
            [(top - 1, left - 1, bottom, right) for top, left, bottom, right in boxes.tolist()]
            for boxes in tables
        ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"--source: {info} has no boxes to read ({error}); download it again") from None


def _image_shape(path: Path) -> tuple[int, int] | str:
    try:
        with open_regular(path) as source, _h5py().File(source, "r") as file:
            channels, width, height = file["InoisySRGB"].shape
    except (OSError, KeyError, ValueError) as error:
        return f"cannot be read: {error}"
    return (height, width) if channels == 3 else f"{channels} channels, not 3"


@dataclass(frozen=True)
class PairList:
    """A text of two columns, "/rain/path /gt/path", and the pictures it names, which stay where they are.

    The text is written again, one pair a line and each line ended; the output gets links to the folders that
    it names.

    Args:
        folder: Empty, since the text itself is the part.
        name: Name of the text file.
        published: How many pairs the published set has.
        optional: The set is fine without it.
    """

    folder: str
    name: str
    published: int | None = None
    optional: bool = False

    def expected(self) -> list[str]:
        return [f"{self.name}, of lines such as /rain/1.png /gt/1.png, and the folders it names"]

    def plan(self, sources: Sequence[Source], output: Path, workers: int | None) -> Plan | None:
        roots = [inner.root for outer in sources for inner in outer.opened]
        file = next((root / self.name for root in roots if (root / self.name).is_file()), None)
        if file is None:
            return None
        rows = numbered_columns(file)
        if wrong := [f"line {number}" for number, columns in rows if len(columns) != 2]:
            raise UserError(
                f"--source: {file}: not of two columns: {listed(wrong)}; write LQ's path and GT's"
            )
        if not rows:
            raise UserError(f"--source: {file} names no pairs; download it again")
        pairs = [(rain.lstrip("/"), gt.lstrip("/")) for _, (rain, gt) in rows]
        root = file.parent

        def fault(pair: tuple[str, str]) -> str:
            looks = []
            for path in pair:
                try:
                    looks.append(look_at_file(root / path)[:2])
                except Broken as error:
                    return f"{path} ({error})"
            return "" if looks[0] == looks[1] else f"{' and '.join(pair)} (of different size)"

        faults = in_threads(fault, pairs, desc="looking", workers=workers)
        refuse((text for text in faults if text), len(pairs))
        if outside := [path for pair in pairs for path in pair if "/" not in path or ".." in path.split("/")]:
            raise UserError(f"--source: {file} names {outside[0]}, which is in no folder beside it")
        text = "".join(f"/{rain} /{gt}\n" for rain, gt in pairs).encode()
        counts = [Count(self.name, len(pairs), self.published)]
        jobs = [Job(self.name, (file,), [Output(output / self.name, 0, 0)], lambda _: [text])]
        links = {}
        if real(output) != real(root):
            tops = {path.split("/")[0] for pair in pairs for path in pair}
            links = {output / top: real(root / top) for top in sorted(tops)}
        elif read_regular(file) == text:
            jobs = []
        return Plan(jobs, links=links, counts=counts)
