"""Find the pictures of a set in the folders people have, and pair them by name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ...pictures.files import files_in, has_image_name
from ...runtime.errors import UserError, listed


@dataclass(frozen=True)
class Layout:
    """One way in which a set is distributed.

    patterns: for each role ("input", "target") where its pictures lie below --source, without the extension.
    `*` is a part of a name that pairs share, and that (joined by "-") they are called by afterwards; `<any>`
    is one that differs or does not matter.  Upper and lower case are the same.

    named_after_input: call a pair as its input is called; inputs may then share a target.
    spare: the other roles may hold pictures that no input asks for; with a list or numbers they always may.
    by_order: where names do not pair, the n-th pictures in natural order do, if there are equally many.
    list_file: a text that names the inputs to take, in any column; where it is missing all are taken.
    numbers: take only those inputs whose name is one of these numbers.
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
    """Pictures that go together: their common name, and the file of each role."""

    name: str
    files: tuple[Path, ...]


@dataclass
class Source:
    """A folder named with --source."""

    root: Path

    @cached_property
    def opened(self) -> list["Source"]:
        """The source and, where it holds nothing but a folder, that one, and so on: archives add some."""
        chain: list[Source] = [self]
        for _ in range(3):
            inside = [path for path in chain[-1].root.iterdir() if not path.name.startswith(".")]
            if len(inside) == 1 and inside[0].is_dir():
                chain.append(Source(inside[0]))
        return chain

    @cached_property
    def all_files(self) -> list[Path]:
        return files_in(self.root, recursive=True)

    @cached_property
    def files(self) -> list[tuple[str, Path]]:
        """The pictures, by their path below the root without the extension."""
        images = [path for path in self.all_files if has_image_name(path)]
        return [(path.relative_to(self.root).with_suffix("").as_posix(), path) for path in images]

    def found(self, name: str) -> list[Path]:
        """The files of that name, in whatever folder below the source."""
        return [path for path in self.all_files if path.name == name]

    def __str__(self) -> str:
        entries = sorted(
            f"{path.name}/" if path.is_dir() else path.name
            for path in self.root.iterdir()
            if not path.name.startswith(".")
        )
        return f"{self.root} holds {listed(entries) or 'nothing'}"


def matches(source: Source, layout: Layout, prefix: str = "") -> list[Group] | None:
    """The pictures of a source that is laid out so, in natural order; None if it is not.

    prefix: what to put before the path of each picture for the layout to look at.

    Raises UserError on pictures without a counterpart and on names that come twice.
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
    tables = []
    for role, entries in zip([*layout.patterns][1:], others, strict=True):
        _refuse_twins(entries)
        table, keys = dict(entries), {key for _, key, _ in named}
        lonely = [str(path) for _, key, path in named if key not in table]
        if lonely and layout.by_order and len(entries) == len(named):
            ordered = sorted(entries, key=lambda entry: natural(entry[0]))
            table = {
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
        tables.append(table)
    return [
        Group(name, (path, *(table[key] for table in tables)))
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
    """Those pictures that a list names, in any of its columns, by the path from wherever it counts."""
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
    found = {word: located(word) for _, columns in table(file) for word in columns}
    if unclear := [word for word, paths in found.items() if not paths or len(paths & inputs) > 1]:
        raise UserError(
            f"--source: {file} names {len(unclear)} files that are not below {source.root}, or there more "
            f"than once: {listed(unclear)}"
        )
    wanted = set().union(*found.values())
    return [(key, path) for key, path in entries if path in wanted]


def table(file: Path) -> list[tuple[int, list[str]]]:
    """Number and columns of every line of a text that is not blank; columns stand between spaces or tabs."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"--source: {file} is not a text in UTF-8; download it again") from None
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, columns) for number, columns in rows if columns]


def first_match(
    sources: Sequence[Source], layouts: Sequence[Layout], *, named: bool = False
) -> list[Group] | None:
    """The pictures of the first source and layout that go together.

    named: layouts begin with the name of the source's own folder.
    """
    for source in [inner for outer in sources for inner in outer.opened]:
        prefix = f"{source.root.resolve().name}/" if named else ""
        for layout in layouts:
            if (groups := matches(source, layout, prefix)) is not None:
                return groups
    return None
