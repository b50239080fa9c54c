"""The parts of a preset: folders of pictures, whole or cut, planned before anything is written."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from ...pictures.looks import Look, look_at_file
from ...pictures.raw import Broken
from ...runtime.errors import UserError, listed
from ...runtime.regular import MOST_TEXT, open_regular, read_regular
from ...runtime.threads import in_threads
from .cuts import Centre, Grid
from .jobs import Job, Output, decoded
from .sources import Group, Layout, Source, first_match


class Count(NamedTuple):
    """How many pictures (or pairs) of a kind there are.

    Args:
        where: The part's folder.
        found: The number in --source.
        published: The number in the published set, if known.
    """

    where: str
    found: int
    published: int | None


@dataclass
class Plan:
    """The work of a preset.

    Args:
        jobs: What to write.
        folders: What the jobs fill.
        links: Folders that stay where they are, by the link to make.
        counts: For the report.
        notes: For the report.
    """

    jobs: list[Job] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    links: dict[Path, Path] = field(default_factory=dict)
    counts: list[Count] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Plan") -> "Plan":
        self.jobs += other.jobs
        self.folders += other.folders
        self.links |= other.links
        self.counts += other.counts
        self.notes += other.notes
        return self


@dataclass(frozen=True)
class Pictures:
    """Pictures, or pairs of them, in a folder for each role.

    Args:
        folder: Below the output.
        layouts: How they may lie below --source.
        published: How many the published set has.
        cut: Where they are cut; None copies them whole, byte for byte.
        bits: What a channel must have.
        labels: Each NAME_labels.npy beside the pictures holds the places, from 1, of the pictures that go
            into the subfolder NAME.
        every_source: Each --source is a folder of pictures, and its name becomes a part of their names;
            otherwise, --source is where to look for all of them.
        optional: The set is fine without them.
    """

    folder: str
    layouts: tuple[Layout, ...]
    published: int | None = None
    cut: Grid | Centre | None = None
    bits: int = 8
    labels: tuple[str, ...] = ()
    every_source: bool = False
    optional: bool = False

    def expected(self) -> list[str]:
        """How the part may lie below --source, a line each."""
        if self.every_source:
            return ["several --source, each a folder of pictures, or one that holds such folders"]
        return [f"{layout}" for layout in self.layouts] + [
            f"with {label}_labels.npy (places from 1, in natural order)" for label in self.labels
        ]

    def plan(self, sources: Sequence[Source], output: Path, workers: int | None) -> Plan | None:
        """Plan the part; None if no source has it.

        Args:
            sources: Where to look.
            output: Where the set is written.
            workers: Threads; None for one per usable core.

        Raises:
            UserError: Pictures cannot be used.
        """
        groups = self._from_every(sources) if self.every_source else first_match(sources, self.layouts)
        if not groups:
            return None
        roles = [*self.layouts[0].patterns]
        base, suffix = output / self.folder, "_crops" if self.cut and any(roles) else ""
        folders = [base / f"{role}{suffix}" if role else base for role in roles]
        places = _places(sources, self.labels, len(groups)) if self.labels else [""] * len(groups)
        looks = _looked_at(groups, self.bits, workers)
        jobs = [
            self._job(group, [folder / place for folder in folders], look)
            for group, place, look in zip(groups, places, looks, strict=True)
        ]
        notes = []
        if self.cut and (small := sum(self.cut.is_whole(look.height, look.width) for look in looks)):
            notes.append(
                f"{self.folder or output.name}: {small} of {len(looks)} pictures stay whole, being small"
            )
        counts = [Count(self.folder or output.name, len(groups), self.published)]
        return Plan(jobs, folders, {}, counts, notes)

    def _from_every(self, sources: Sequence[Source]) -> list[Group] | None:
        found = [first_match([source], self.layouts, named=True) for source in sources]
        return [group for groups in found for group in groups] if all(found) else None  # type: ignore[union-attr]

    def _job(self, group: Group, folders: list[Path], look: Look) -> Job:
        h, w = look.height, look.width
        name = f"{self.folder}/{group.name}"
        if self.cut is None:
            suffixes = [path.suffix.lower() for path in group.files]
            # a pair is read by its name, so both sides have one; pixels stay as they are
            suffix = suffixes[0] if len(set(suffixes)) == 1 else ".png"
            outputs = [Output(folder / f"{group.name}{suffix}", h, w) for folder in folders]

            def copy(contents: list[bytes]) -> list[np.ndarray | bytes]:
                return [
                    content if own == suffix else decoded(content, h, w, cv2.IMREAD_UNCHANGED)
                    for content, own in zip(contents, suffixes, strict=True)
                ]

            return Job(name, group.files, outputs, copy)
        cut = self.cut
        sizes = cut.sizes(group.name, h, w)
        outputs = [Output(folder / file, *size) for folder in folders for file, size in sizes.items()]
        flag = cv2.IMREAD_COLOR if self.bits == 8 else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH

        def crop(contents: list[bytes]) -> Iterator[np.ndarray]:
            return cut.cut([decoded(content, h, w, flag) for content in contents])

        return Job(name, group.files, outputs, crop)


def _looked_at(groups: Sequence[Group], bits: int, workers: int | None) -> list[Look]:
    """The look of each group.  Raises UserError if some are broken or their files do not fit together."""

    def look(group: Group) -> Look | str:
        looks = []
        for path in group.files:
            try:
                seen = look_at_file(path)
            except Broken as error:
                return f"{path} ({error})"
            if seen.alpha:
                return f"{path} (has an alpha channel: flatten it)"
            if max(seen.bits, 8) != bits:
                return f"{path} ({seen.bits} bits a channel, not {bits})"
            if bits == 16 and seen.channels != 3:
                return f"{path} ({seen.channels} channels, not 3)"
            if path.suffix.lower() in (".jpg", ".jpeg", ".tif", ".tiff") and _mode(path) == "CMYK":
                return f"{path} (is CMYK: convert it to RGB)"
            looks.append(seen)
        sizes = [f"{seen.height}x{seen.width}" for seen in looks]
        if len(set(sizes)) > 1:
            return f"{' and '.join(map(str, group.files))} ({' and '.join(sizes)})"
        return looks[0]

    looks = list(in_threads(look, groups, desc="looking", workers=workers))
    refuse([fault for fault in looks if isinstance(fault, str)], len(looks))
    return [seen for seen in looks if isinstance(seen, Look)]


def refuse(faults: Iterable[str], count: int) -> None:
    """Raise UserError if there are faults.

    Args:
        faults: In words.
        count: Count of all pictures or pairs.
    """
    if faults := list(faults):
        raise UserError(f"--source: {len(faults)} of {count} pictures cannot be used: {listed(faults)}")


def _mode(path: Path) -> str:
    try:
        with open_regular(path) as file, Image.open(file) as image:
            return image.mode
    except Exception:  # one that OpenCV knows and Pillow does not
        return ""


def _places(sources: Sequence[Source], labels: Sequence[str], count: int) -> list[str]:
    """The subfolder of each picture, by NAME_labels.npy with places from 1.  Raises UserError."""
    places = [""] * count
    for label in labels:
        name = f"{label}_labels.npy"
        files = [file for source in sources for file in source.found(name)]
        if not files:
            raise UserError(
                f"--source: {name} is missing: it lists the {label} pictures and comes with the test set"
            )
        try:
            numbers = (
                np.load(io.BytesIO(read_regular(files[0], MOST_TEXT)), allow_pickle=False).ravel().tolist()
            )
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"--source: {files[0]} cannot be read ({error}); download it again") from None
        for number in numbers:
            if number not in range(1, count + 1) or places[int(number) - 1]:
                raise UserError(
                    f"--source: {files[0]} has {number}, which is no place from 1 to {count} or is "
                    "labelled already; take the labels of this very test set"
                )
            places[int(number) - 1] = label
    if "" in places:
        missing = [str(place) for place, label in enumerate(places, 1) if not label]
        raise UserError(f"--source: no label for pictures {listed(missing)} of {count}; complete the labels")
    return places
