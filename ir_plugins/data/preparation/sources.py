"""Find the pictures of a set in the folders that people have, and pair them by name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ...pictures.files import files_in, has_image_name, text_of
from ...runtime.errors import UserError, listed
from ...runtime.regular import real


@dataclass(frozen=True)
class Layout:
    """One way in which a set is distributed.

    Args:
        patterns: For each role ("input", "target") where its pictures lie below --source, without the
            extension.  `*` is a part of the name that pairs share; these parts, joined by "-", become the
            pair's name.  `<any>` is a part that differs or does not matter.  Upper and lower case are equal.
        named_after_input: A pair gets its input's name; inputs may then share a target.
        spare: The other roles may hold pictures that no input asks for; with a list or numbers they always
            may.
        by_order: If names do not pair but there are equally many, the n-th pictures in natural order do.
        list_file: A text that names the inputs to take, in any column; if it is missing, all are taken.
        numbers: Take only inputs whose name is one of these numbers.
    """

    patterns: dict[str, str]
    named_after_input: bool = False
    spare: bool = False
    by_order: bool = False
    list_file: str | None = None
    numbers: range | None = None

    def __str__(self) -> str:
        listed_in = f"   (those in {self.list_file}, if it is there)" if self.list_file else ""
        return "   ".join(self.patterns.values()) + listed_in


class Group(NamedTuple):
    """Pictures that go together.

    Args:
        name: Their common name.
        files: One of each role.
    """

    name: str
    files: tuple[Path, ...]


@dataclass
class Source:
    """A folder named with --source.

    Args:
        root: Its path.
    """

    root: Path

    @cached_property
    def opened(self) -> list["Source"]:
        """The source and, while each holds only one folder, the folders inside: archives add some."""
        chain: list[Source] = [self]
        for _ in range(3):
            inside = [path for path in chain[-1].root.iterdir() if not path.name.startswith(".")]
            if len(inside) == 1 and inside[0].is_dir():
                chain.append(Source(inside[0]))
        return chain

    @cached_property
    def all_files(self) -> list[Path]:
        return files_in(self.root, recursive=True, what="--source")

    @cached_property
    def files(self) -> list[tuple[str, Path]]:
        """The pictures, by their path below the root without the extension."""
        images = [path for path in self.all_files if has_image_name(path)]
        return [(path.relative_to(self.root).with_suffix("").as_posix(), path) for path in images]

    def found(self, name: str) -> list[Path]:
        """The files of this name, in any folder below the source."""
        return [path for path in self.all_files if path.name == name]

    def __str__(self) -> str:
        entries = sorted(
            f"{path.name}/" if path.is_dir() else path.name
            for path in self.root.iterdir()
            if not path.name.startswith(".")
        )
        return f"{self.root} holds {listed(entries) or 'nothing'}"


def matches(source: Source, layout: Layout, prefix: str = "") -> list[Group] | None:
    """The pictures of a source, in natural order; None if it has another layout.

    Args:
        source: Where to look.
        layout: How the pictures may lie.
        prefix: What to put before each picture's path before the layout looks at it.

    Raises:
        UserError: Pictures lack a counterpart, or names come twice.
    """
    roles: list[list[tuple[str, Path]]] = []
    for pattern in layout.patterns.values():
        regex = _regex(pattern)
        matched = [(m, path) for name, path in source.files if (m := regex.fullmatch(prefix + name))]
        roles.append([("-".join(m.groups()), path) for m, path in matched])
    spare = layout.spare or layout.named_after_input
    if layout.list_file and (file := _list_file(source.root, layout.list_file)):
        spare, roles[0] = True, _listed(source, file, roles[0])
    if layout.numbers:
        wanted = [(key, path) for key, path in roles[0] if key.isdecimal() and int(key) in layout.numbers]
        spare, roles = True, [wanted, *roles[1:]]
    if not all(roles):
        return None
    return _paired(layout, roles, spare)


def _paired(layout: Layout, roles: list[list[tuple[str, Path]]], spare: bool) -> list[Group]:
    first, *others = roles
    named = [(path.stem if layout.named_after_input else key, key, path) for key, path in first]
    _refuse_twins([(name, path) for name, _, path in named])
    by_role = []
    for role, entries in zip([*layout.patterns][1:], others, strict=True):
        _refuse_twins(entries)
        by_key, keys = dict(entries), {key for _, key, _ in named}
        lonely = [str(path) for _, key, path in named if key not in by_key]
        if lonely and layout.by_order and len(entries) == len(named):
            ordered = sorted(entries, key=lambda entry: natural(entry[0]))
            by_key = {
                key: path
                for (_, key, _), (_, path) in zip(sorted(named, key=_natural_name), ordered, strict=True)
            }
            lonely = []
        elif not spare:
            lonely += [str(path) for key, path in entries if key not in keys]
        if lonely:
            raise UserError(
                f"--source: {len(lonely)} of {len(named)} + {len(entries)} pictures have no counterpart "
                f"({next(iter(layout.patterns.values()))} and {layout.patterns[role]}): {listed(lonely)}; "
                "complete or remove them"
            )
        by_role.append(by_key)
    return [
        Group(name, (path, *(by_key[key] for by_key in by_role)))
        for name, key, path in sorted(named, key=_natural_name)
    ]


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts "a2" before "a10"."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _natural_name(entry: tuple[str, str, Path]) -> tuple[list[tuple[int, int, str]], str]:
    return natural(entry[0]), entry[0]


def _refuse_twins(entries: Iterable[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in entries:
        if name in seen:
            raise UserError(f"--source: {seen[name]} and {path} are both to become {name}; rename one")
        seen[name] = path


def _regex(pattern: str) -> re.Pattern:
    parts = re.split(r"(\*|<any>)", pattern)
    wild = {"*": "([^/]+)", "<any>": "[^/]+"}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts), re.IGNORECASE)


def _list_file(root: Path, name: str) -> Path | None:
    return next((file for file in (root / name, root.parent / name) if file.is_file()), None)


def _listed(source: Source, file: Path, entries: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The pictures that a list names in any of its columns, by paths from some folder above them."""
    endings: dict[tuple[str, ...], set[Path]] = {}
    for _, path in source.files:
        parts = path.relative_to(source.root).parts
        for first in range(len(parts)):
            endings.setdefault(parts[first:], set()).add(path)

    def located(word: str) -> set[Path]:
        parts = tuple(part for part in word.split("/") if part not in ("", "."))
        # two parts at least: blur_1.png alone may be of any scene
        tails = [parts[first:] for first in range(max(1, len(parts) - 1))]
        return next((endings[tail] for tail in tails if tail in endings), set())

    inputs = {path for _, path in entries}
    found = {word: located(word) for _, columns in numbered_columns(file) for word in columns}
    if unclear := [word for word, paths in found.items() if not paths or len(paths & inputs) > 1]:
        raise UserError(
            f"--source: {file} names {len(unclear)} files that are not below {source.root}, or there more "
            f"than once: {listed(unclear)}"
        )
    wanted = set().union(*found.values())
    return [(key, path) for key, path in entries if path in wanted]


def numbered_columns(file: Path) -> list[tuple[int, list[str]]]:
    """Number and columns of every line of a text that is not blank; spaces or tabs separate columns."""
    text = text_of(file, "--source", mend="download it again")
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, columns) for number, columns in rows if columns]


def first_match(
    sources: Sequence[Source], layouts: Sequence[Layout], *, named: bool = False
) -> list[Group] | None:
    """The pictures of the first source and layout that fit each other.

    Args:
        sources: Where to look.
        layouts: How the pictures may lie.
        named: Layouts begin with the name of the source's own folder.
    """
    for source in [inner for outer in sources for inner in outer.opened]:
        prefix = f"{real(source.root).name}/" if named else ""
        for layout in layouts:
            if (groups := matches(source, layout, prefix)) is not None:
                return groups
    return None
