"""Pair the pictures of several folders or LMDBs by their names, without endings."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..pictures.files import IMAGE_SUFFIXES, existing_folder, image_files, text_of
from ..runtime.errors import UserError, listed

NAMES_SHOWN = 1000  # in a message: a person wants to see the mismatches
_ENDING = f"(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})"
_SHAPE = re.compile(r" \(\d+, ?\d+(?:, ?\d+)?\)(?: \d+)?$")  # BasicSR's "0001.png (480,480,3) 1"
_COLUMNS = re.compile(rf"(.+?{_ENDING})\s+(.+{_ENDING})", re.IGNORECASE)  # SPAD's "/rain/1.png /gt/1.png"


class Pairing(NamedTuple):
    """Pictures that belong together.

    Args:
        name: The path of GT below its root without its ending, "indoor/0001"; the path of LQ if a list gives
            several LQ the same GT.  If two would be equal, they keep their endings.
        files: For each kind ("gt", "lq") the path below its root; in an LMDB, the key.
    """

    name: str
    files: dict[str, str]


def pair(
    roots: Mapping[str, str], *, backend: str, template: str = "{}", listing: str | None = None
) -> list[Pairing]:
    """The pictures of all roots that belong together, in the order of their names.

    Args:
        roots: The folder or LMDB of each kind; GT is called "gt".  Subfolders are searched too; files whose
            names are not a picture's are ignored.
        backend: disk or lmdb.
        template: The others' name, with {} for GT's, without folder and ending.
        listing: A file that names the pictures to use: GT's names, as BasicSR's meta_info files, or LQ's and
            GT's paths in two columns, as SPAD's.

    Raises:
        UserError: A folder is empty, or has a name twice that others pair with, the list cannot be used, or
            names do not pair; the message begins with the option and names everything without a counterpart.
    """
    chosen = None if listing is None else _listed(listing)
    if chosen is not None and len(chosen[0]) == 2:
        return _in_two_columns(roots, chosen, backend, str(listing))
    pairs = len(roots) > 1
    found = {kind: _names(f"dataroot_{kind}", root, backend, pairs) for kind, root in roots.items()}
    first = "gt" if "gt" in roots else next(iter(roots))
    by_file = {file: name for name, file in found[first].items()}  # a list may use other endings
    names = list(found[first])
    if chosen is not None:
        names = [by_file.get(columns[-1], _stem(columns[-1])) for columns in chosen]
    missing: dict[str, set[str]] = {kind: set() for kind in roots}
    pairings = []
    for name in names:
        wanted = {kind: name if kind == first else _other(name, template) for kind in roots}
        files = {kind: found[kind].get(other) for kind, other in wanted.items()}
        for kind, file in files.items():
            if file is None:
                missing[kind].add(wanted[kind])
        pairings.append(Pairing(name, {kind: file for kind, file in files.items() if file is not None}))
    if chosen is None:
        used = {_other(name, template) for name in names}
        for kind in set(roots) - {first}:
            missing[first] |= {f"one for {found[kind][name]}" for name in found[kind] if name not in used}
    if any(missing.values()):
        _refuse(roots, missing, template, listing)
    return _in_order(pairings)


def distinct_names(files: Iterable[str]) -> dict[str, str]:
    """A name for each file: its path without the ending, unless another file would have the same.

    Args:
        files: Paths below one root; one that comes twice has one name.
    """
    names = {file: _stem(file) for file in files}
    while True:
        counts = Counter(names.values())
        if not (twins := [file for file, name in names.items() if counts[name] > 1 and name != file]):
            return names
        names |= {file: file for file in twins}  # a.jpg.png may now be in the way of a.jpg


def _names(option: str, root: str, backend: str, pairs: bool = True) -> dict[str, str]:
    """The path or key of each picture below a root, by its name; `pairs`: refuse equal names."""
    if backend == "lmdb":
        meta = Path(root, "meta_info.txt")
        if not os.path.lexists(meta):
            raise UserError(f"{option}: {root} lacks meta_info.txt, it is no whole LMDB; use `basicsr lmdb`")
        text = text_of(meta, option, lenient=True, mend="make the LMDB again with `basicsr lmdb`")
        keys = [line.split(".")[0] for line in text.replace("\r\n", "\n").split("\n")]
        keys = [key for key in keys if key.strip()]
        if not keys:
            raise UserError(f"{option}: {meta} is empty; make the LMDB again with `basicsr lmdb`")
        return {key: key for key in keys}
    folder = existing_folder(root, option)
    files = [path.relative_to(folder).as_posix() for path in image_files(folder, recursive=True, what=option)]
    if not files:
        raise UserError(f"{option}: {root} holds no pictures; name the folder that does")
    if pairs:
        _refuse_twins(option, root, files)
    return {name: file for file, name in distinct_names(files).items()}


def _refuse_twins(option: str, root: str, files: list[str]) -> None:
    seen: dict[str, str] = {}
    twins = []
    for file in files:
        if (name := _stem(file)) in seen:
            twins.append(f"{seen[name]} and {file}")
        seen[name] = file
    if twins:
        raise UserError(
            f"{option}: {root} has a name twice: {listed(twins, NAMES_SHOWN)}; rename or remove one"
        )


def _stem(file: str) -> str:
    return Path(file).with_suffix("").as_posix() if file.lower().endswith(IMAGE_SUFFIXES) else file


def _other(name: str, template: str) -> str:
    path = Path(name)
    return (path.parent / template.replace("{}", path.name)).as_posix()


def _listed(listing: str) -> list[tuple[str, ...]]:
    """The columns of each line, one or two; all lines have as many."""
    text = text_of(listing, "meta_info_file")
    lines = {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not lines:
        raise UserError(f"meta_info_file: {listing} is empty; write a picture's name on each line")
    columns: dict[int, tuple[str, ...]] = {}
    for number, line in lines.items():
        two = _COLUMNS.fullmatch(line)
        columns[number] = (two[1].lstrip("/"), two[2].lstrip("/")) if two else (_SHAPE.sub("", line),)
    count = len(columns[next(iter(columns))])
    if odd := [str(number) for number, row in columns.items() if len(row) != count]:
        raise UserError(
            f"meta_info_file: {listing} begins with {count} names a line, but not in line {listed(odd)}; "
            "write GT's name, or LQ's path, a space and GT's, on each line"
        )
    return list(columns.values())


def _in_two_columns(
    roots: Mapping[str, str], columns: list[tuple[str, ...]], backend: str, listing: str
) -> list[Pairing]:
    if set(roots) - {"lq", "gt"}:
        raise UserError("meta_info_file: two columns are LQ and GT, but this dataset has other kinds too")
    pairings = []
    shared = {gt for gt, count in Counter(gt for _, gt in columns).items() if count > 1}
    names = distinct_names(lq if gt in shared else gt for lq, gt in columns)
    for lq, gt in columns:
        if ".." in Path(lq).parts + Path(gt).parts:
            raise UserError(f"meta_info_file: {lq} {gt} leads out of the folders; write paths below them")
        both = {"lq": lq, "gt": gt} if backend == "disk" else {"lq": _stem(lq), "gt": _stem(gt)}
        name = names[lq if gt in shared else gt]
        pairings.append(Pairing(name, {kind: both[kind] for kind in roots}))
    if backend == "lmdb":  # missing files are found when each one is checked
        wanted = {kind: {pairing.files[kind] for pairing in pairings} for kind in roots}
        missing = {
            kind: wanted[kind] - _names(f"dataroot_{kind}", root, backend).keys()
            for kind, root in roots.items()
        }
        if any(missing.values()):
            _refuse(roots, missing, None, listing)
    return _in_order(pairings)


def _in_order(pairings: list[Pairing]) -> list[Pairing]:
    """Sorted by their names; several with the same GT, as in SPAD, by the others' names."""
    return sorted(pairings, key=lambda pairing: (pairing.name, *pairing.files.values()))


def _refuse(
    roots: Mapping[str, str], missing: dict[str, set[str]], template: str | None, listing: str | None
) -> None:
    faults = [
        f"dataroot_{kind} ({roots[kind]}) lacks {len(names)}: {listed(sorted(names), NAMES_SHOWN)}"
        for kind, names in missing.items()
        if names
    ]
    mends = ["correct the list"] if listing else ["rename them"]
    if len(roots) > 1 and template is not None:
        mends.append(f"set filename_tmpl (it is {template!r})")
    where = f" as {listing} lists them" if listing else ""
    raise UserError(f"pictures do not pair{where}: {'; '.join(faults)}; {' or '.join(mends)}")
