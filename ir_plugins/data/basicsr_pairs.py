"""Pair pictures as BasicSR's own datasets do, and refuse those that do not pair."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..pictures.files import files_in, strangers, text_of
from ..runtime.errors import UserError, listed

GT, LQ = "dataroot_gt", "dataroot_lq"


def lmdb_keys(name: str, roots: dict[str, str]) -> dict[str, list[str]]:
    """The keys that BasicSR will read from each database, by option; pairs have the same index.

    Args:
        name: Name of the dataset's block, for messages.
        roots: The LMDB of each option.

    Raises:
        UserError: A database has no keys, or they do not pair.
    """
    keys = {}
    for option, root in roots.items():
        meta = Path(root, "meta_info.txt")
        mend = "make the LMDB again with `basicsr lmdb`"
        lines = text_of(meta, f"{name}:{option}", lenient=True, mend=mend).splitlines()
        # BasicSR takes what stands before the first dot
        keys[option] = sorted({line.split(".")[0] for line in lines if line.strip()})
        if not keys[option]:
            raise UserError(f"{name}:{option}: {root}/meta_info.txt is empty; make it with `basicsr lmdb`")
    if len(keys) == 2:
        _, lq = keys
        missing = {lq: set(keys[GT]) - set(keys[lq]), GT: set(keys[lq]) - set(keys[GT])}
        _refuse_unpaired(name, roots, missing, "give the two images of a pair one key")
    return keys


def file_names(name: str, roots: dict[str, str], opt: Mapping[str, Any]) -> dict[str, list[str]]:
    """The files that BasicSR will read from each folder, relative to it; pairs have the same index.

    Args:
        name: Name of the dataset's block, for messages.
        roots: The folder of each option.
        opt: The block.

    Raises:
        UserError: Files are missing, no images, or do not pair.
    """
    first, *others = roots
    if meta := opt.get("meta_info_file"):
        there, names = None, _listed_in(f"{name}:meta_info_file", str(meta))
    else:
        there = {option: _names_in(f"{name}:{option}", root) for option, root in roots.items()}
        names = there[first]
    if not others:
        return {first: names}

    (lq,) = others
    template = opt.get("filename_tmpl", "{}")
    try:
        # the folder is dropped and the extension kept, as BasicSR does
        wanted = [template.format(Path(gt).stem) + Path(gt).suffix for gt in names]
    except (AttributeError, IndexError, KeyError, ValueError):
        wanted = []
    if len(set(wanted)) < len({Path(gt).name for gt in names}):
        raise UserError(f"{name}:filename_tmpl: {template!r} names no LQ images; write for example '{{}}x4'")
    missing = {lq: {image for image in wanted if not Path(roots[lq], image).is_file()}}
    if there is None:
        missing[GT] = {gt for gt in names if not Path(roots[GT], gt).is_file()}
    else:
        missing[GT] = {f"one for {image}" for image in set(there[lq]) - set(wanted)}
    _refuse_unpaired(name, roots, missing, f"rename them or set filename_tmpl (it is {template!r})")
    return {GT: names, lq: wanted}


def _listed_in(where: str, meta: str) -> list[str]:
    if not os.path.lexists(meta):
        raise UserError(f"{where}: no such file: {meta}; correct the path, or leave it out to use all images")
    lines = text_of(meta, where, lenient=True).splitlines()
    if blank := [str(number) for number, line in enumerate(lines, 1) if not line.strip()]:
        raise UserError(f"{where}: {meta} has blank lines, which BasicSR cannot read: line {listed(blank)}")
    if not lines:
        raise UserError(f"{where}: {meta} is empty; each line is an image's name, a space and its shape")
    return [line.strip().split(" ")[0] for line in lines]


def _names_in(where: str, root: str) -> list[str]:
    files = files_in(Path(root))
    if not files:
        raise UserError(f"{where}: {root} holds no files, subfolders aside; name the folder with the images")
    # BasicSR takes every file that is not hidden
    if strange := strangers(files):
        raise UserError(f"{where}: {root} holds files that are no images: {listed(strange)}; move them away")
    return [path.name for path in files]


def _refuse_unpaired(name: str, roots: dict[str, str], missing: dict[str, set[str]], mend: str) -> None:
    faults = [
        f"{option} ({roots[option]}) lacks {len(images)}: {listed(sorted(images))}"
        for option, images in missing.items()
        if images
    ]
    if faults:
        raise UserError(f"{name}: GT and LQ do not pair: {'; '.join(faults)}; {mend}")
