"""Super-resolution sets: HR crops (or whole pictures), MATLAB-bicubic LR copies of them, LMDBs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...pictures.files import existing_folder
from ...pictures.lmdb import image_keys
from ...pictures.looks import Look, look_at_file
from ...pictures.raw import Broken
from ...pictures.window import Window
from ...runtime.errors import UserError, listed
from ...runtime.locks import alone
from ...runtime.names import name_fault
from ...runtime.threads import in_threads
from ..resize import imresize
from .cuts import grid
from .jobs import Job, Journal, Output, decoded, make, pack, refuse_foreign, verify


@dataclass(kw_only=True)
class Settings:
    """The settings of a set.

    Args:
        input: The folders of HR pictures.
        name: Name of the set; files and folders are called after it.
        output: Where to write; None for datasets/NAME.
        scales: How many times smaller LR is, whole numbers from 2.
        whole: Cut no crops, as for a test set.
        crop_size: The side of an HR crop, in pixels; a multiple of all scales.
        step: From crop to crop in HR, in pixels; a multiple of all scales.
        thresh_size: How many HR pixels at the right and the bottom may stay uncovered.
        lmdb: Also pack each folder into FOLDER.lmdb.
        codec: Codec of the LMDBs, png or raw.
        workers: Threads; None for one per usable core.
        option: The option of the command line that named `input`; messages begin with it.
    """

    input: Sequence[str | Path]
    name: str = "DF2K"
    output: str | Path | None = None
    scales: Sequence[int] = (2, 3, 4)
    whole: bool = False
    crop_size: int = 480
    step: int = 240
    thresh_size: int = 0
    lmdb: bool = False
    codec: str = "png"
    workers: int | None = None
    option: str = "--input"

    @property
    def modulus(self) -> int:
        """Every size and position of a crop is a multiple of it."""
        return math.lcm(*self.scales)

    def targets(self) -> list["Target"]:
        """What to make: with `whole` HR and LR of each scale, else HR and the LR of all scales."""
        output = Path(self.output or Path("datasets", self.name))
        if self.whole:
            # published figures trim to a multiple of the scale alone
            both = {"GTmod{}": False, "LRbicx{}": True}
            return [
                Target(output / name.format(scale), scale if small else 1, scale)
                for scale in self.scales
                for name, small in both.items()
            ]
        names = {1: f"{self.name}_HR_sub"} | {s: f"{self.name}_LR_bicubic_X{s}_sub" for s in self.scales}
        return [Target(output / name, scale, self.modulus) for scale, name in names.items()]


class Target(NamedTuple):
    """A folder to fill.

    Args:
        folder: Its path.
        scale: How many times smaller its pictures are than HR; 1 for HR.
        modulus: HR is trimmed to a multiple of it.
    """

    folder: Path
    scale: int
    modulus: int


class Crop(NamedTuple):
    """A crop of an HR picture: its file's name and its window, whose numbers are multiples of every scale."""

    name: str
    window: Window


def prepare_sr(settings: Settings) -> list[str]:
    """Make a super-resolution set.  When interrupted, call it again to continue.

    Nothing is written before every input has been checked.  Each picture is trimmed to a multiple of all
    scales, resized as a whole, and then cut, so an LR crop shows exactly what its HR crop shows.  With
    `whole`, it is trimmed for each scale by itself, as for published figures, and each scale has its HR.

    Args:
        settings: How to make it; its scales are sorted.

    Returns:
        What to report, line by line.

    Raises:
        UserError: Numbers do not go together, inputs cannot be used, or --output holds something else.
    """
    _check(settings)
    targets = settings.targets()
    folders, output = [target.folder for target in targets], targets[0].folder.parent
    jobs, crops = _plan(settings, output, targets)
    keys = ["scales", "whole"] if settings.whole else ["scales", "whole", "crop_size", "step", "thresh_size"]
    noted = {key: getattr(settings, key) for key in keys} | {"scales": list(settings.scales)}
    journal = Journal(output / f"{settings.name}_prepare.jsonl")
    if settings.whole and len(settings.scales) > 1:
        if journal.settings == noted:
            raise UserError(
                f"--output: {output} was prepared by an older version, which trimmed to a multiple of "
                f"{settings.modulus} for all scales (figures are 0.02 to 0.03 dB below published ones); move "
                "it away and run again, or take another --output"
            )
        noted["trimmed"] = "by scale"
    refuse_foreign(noted, journal, jobs, folders)

    output.mkdir(parents=True, exist_ok=True)
    with alone(journal.path, f"--output: another process is writing to {output}; wait for it"):
        if journal.settings is None:
            journal.add(settings=noted)
        make(jobs, journal, settings.workers, option=settings.option)
        verify(jobs, settings.workers)
        if settings.lmdb:
            pack(jobs, folders, journal, settings.workers, settings.codec)
    return list(_report(settings, len(jobs), crops, targets))


def lay_out(stem: str, height: int, width: int, *, crop_size: int, step: int, thresh_size: int) -> list[Crop]:
    """The crops of a picture as BasicSR's extract_subimages places and numbers them: STEM_s001.png, ...

    Unlike there, a side shorter than `crop_size` stays uncut.

    Args:
        stem: The picture's name without its ending.
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
        crop_size: The side of a crop, in pixels.
        step: From crop to crop, in pixels.
        thresh_size: How many pixels at the right and the bottom may stay uncovered.
    """
    windows = grid(height, width, size=crop_size, step=step, spare=thresh_size)
    return [Crop(f"{stem}_s{number:03d}.png", window) for number, window in enumerate(windows, 1)]


def cutting(stem: str, path: Path, height: int, width: int, crops: dict[Target, list[Crop]]) -> Job:
    """The job that makes a picture's crops, as 8-bit colour, in every folder.

    Args:
        stem: The name of the job.
        path: The picture.
        height: Its height, in pixels.
        width: Its width, in pixels.
        crops: Crops of HR for each folder.
    """

    def cut(contents: list[bytes]) -> Iterator[np.ndarray]:
        return pieces(decoded(contents[0], height, width))  # (H, W, 3)

    def pieces(image: np.ndarray) -> Iterator[np.ndarray]:
        for target, own in crops.items():
            h, w = trimmed(height, width, target)
            # the image is resized before it is cut: a crop's edge is no edge of the picture
            pixels = image[:h, :w] if target.scale == 1 else imresize(image[:h, :w], 1 / target.scale)
            for crop in own:
                yield Window(*(number // target.scale for number in crop.window)).cut(pixels)

    outputs = [
        Output(target.folder / name, window.height // target.scale, window.width // target.scale)
        for target, own in crops.items()
        for name, window in own
    ]
    return Job(stem, (path,), outputs, cut)


def trimmed(height: int, width: int, target: Target) -> tuple[int, int]:
    """The size that HR is trimmed to, in pixels.

    Args:
        height: Of HR, in pixels.
        width: Of HR, in pixels.
        target: The folder that it goes into.
    """
    return height // target.modulus * target.modulus, width // target.modulus * target.modulus


def _check(settings: Settings) -> None:
    """Sort the scales; raise UserError if numbers do not go together, or the name cannot name a folder."""
    if (fault := name_fault(settings.name)) is not None:
        raise UserError(f"--name: is {settings.name[:100]!r}; expected {fault}")
    settings.scales = sorted(set(settings.scales))
    if settings.scales[0] < 2:
        raise UserError(f"--scales: {settings.scales[0]} makes nothing smaller; give whole numbers from 2")
    for key, least in (("crop_size", 1), ("step", 1), ("thresh_size", 0), ("workers", 1)):
        value = getattr(settings, key)
        if value is not None and value < least:
            hint = "; --whole leaves images uncut" if key == "crop_size" else f"; give {least} or more"
            raise UserError(f"--{key}: {value} is too small{hint}")
    for key in ("crop_size", "step"):
        if getattr(settings, key) % settings.modulus and not settings.whole:
            raise UserError(
                f"--{key}: {getattr(settings, key)} is no multiple of {settings.modulus}, the least common "
                f"multiple of --scales {' '.join(map(str, settings.scales))}; change one of them"
            )


def _plan(settings: Settings, output: Path, targets: list[Target]) -> tuple[list[Job], list[Crop]]:
    """Look at every input picture and lay out its crops, in the order of the names.  Raises UserError.

    Returns:
        The jobs, and the crops of the first folder.
    """
    option, least = settings.option, max(target.modulus for target in targets)
    paths: dict[str, Path] = {}
    for folder in settings.input:
        for key, path in image_keys(existing_folder(folder, option), outside=output).items():
            stem = key.replace("/", "_")  # BasicSR does not look into subfolders
            if stem in paths:
                raise UserError(f"{option}: {paths[stem]} and {path} are both to become {stem}; rename one")
            paths[stem] = path
    paths = dict(sorted(paths.items()))

    def look(path: Path) -> Look | str:
        try:
            seen = look_at_file(path)
        except Broken as error:
            return f"{path} ({error})"
        if seen.alpha:
            return f"{path} (has an alpha channel: flatten it)"
        if min(seen.height, seen.width) < least:
            return f"{path} ({seen.height}x{seen.width}, less than {least})"
        return seen

    looks = list(in_threads(look, paths.values(), desc="looking", workers=settings.workers))
    if faults := [fault for fault in looks if isinstance(fault, str)]:
        raise UserError(f"{option}: {len(faults)} of {len(looks)} images cannot be used: {listed(faults)}")
    jobs, all_crops = [], []
    sizes = {key: getattr(settings, key) for key in ("crop_size", "step", "thresh_size")}
    for (stem, path), seen in zip(paths.items(), (x for x in looks if isinstance(x, Look)), strict=True):
        crops = {}
        for target in targets:
            h, w = trimmed(seen.height, seen.width, target)
            whole = [Crop(f"{stem}.png", Window(0, 0, h, w))]
            crops[target] = whole if settings.whole else lay_out(stem, h, w, **sizes)
        jobs.append(cutting(stem, path, seen.height, seen.width, crops))
        all_crops += crops[targets[0]]
    return jobs, all_crops


def _report(settings: Settings, images: int, crops: list[Crop], targets: list[Target]) -> Iterator[str]:
    """What was made, and the lines for an option file."""
    kind = "images" if settings.whole else f"crops of {images} images"
    yield f"{targets[0].folder.parent}: {len(crops)} {kind} in each of {len(targets)} folders"
    sides = [min(crop.window.height, crop.window.width) for crop in crops]
    small = [side for side in sides if side < settings.crop_size]
    if small and not settings.whole:
        count = f"{len(small)} of them are smaller than {settings.crop_size}"
        yield f"{count}: PairedDataset pads them, for BasicSR's"
        yield f"PairedImageDataset gt_size may not exceed {min(small)}"
    ending, backend = (".lmdb", "lmdb") if settings.lmdb else ("", "disk")
    high = {target.modulus: target.folder for target in targets if target.scale == 1}
    for target in (target for target in targets if target.scale > 1):
        yield f"\nscale {target.scale}, in the option file below datasets:"
        yield f"    dataroot_gt: {high[target.modulus]}{ending}"
        yield f"    dataroot_lq: {target.folder}{ending}"
        yield f"    io_backend: {{type: {backend}}}"
