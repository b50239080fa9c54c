"""Check a dataset before training: folders exist, names pair, images are whole, sizes fit.

BasicSR would fail later, in a worker process, and mostly without the name of the file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

from basicsr.utils.registry import DATASET_REGISTRY

from ..options.registries import registered
from ..pictures.environments import whole_lmdb_environment
from ..pictures.files import existing_file, existing_folder
from ..pictures.looks import Look, look_at_bytes, look_at_file
from ..pictures.raw import Broken
from ..runtime.children import Crashed, in_child
from ..runtime.errors import UserError, listed
from ..runtime.threads import in_threads
from .basicsr_pairs import GT, LQ, file_names, lmdb_keys
from .datasets.mixed import blocks


def check_dataset(name: str, opt: Mapping[str, Any]) -> int | None:
    """Check that BasicSR can train or test on a dataset.

    Every `dataroot...` must exist, be what `io_backend` says, and hold whole images.  With dataroot_gt and
    dataroot_lq, or both views of dual pixels, names must pair as the dataset pairs them (`filename_tmpl`,
    `meta_info_file`), GT must be `scale` times LQ, and files that are read with 16 bits must have them.  In
    training a patch of `gt_size` must fit if the dataset does not pad.  Images are judged by their first and
    last bytes; unusual ones are decoded.

    Args:
        name: Where the block stands, such as "datasets:train".
        opt: The block, with `phase` and `scale` filled in.

    Returns:
        The number of images, None if this type of dataset lists them in its own way.

    Raises:
        UserError: The dataset cannot be used; the message names the option and the path, with a line for
            each missing folder.
    """
    backend, kind = _backend(name, opt), registered(DATASET_REGISTRY, opt.get("type"))
    if opt.get("sets"):
        return sum(check_dataset(f"{name}:sets:{n}", block) or 0 for n, block in blocks(opt).items())
    # Restormer's published option files write `dataroot_lq: none` if there is none
    given = {key: value for key, value in opt.items() if key.startswith("dataroot")}
    roots = {key: str(value) for key, value in given.items() if value not in (None, "none")}
    faults = []
    for key, root in roots.items():
        if backend == "disk" and getattr(kind, "takes_a_file", False) and Path(root).is_file():
            continue
        try:
            _check_root(f"{name}:{key}", root, backend)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))
    if opt.get("phase") == "train" and (opt.get("gt_size") or 0) % _scale(opt):
        raise UserError(f"{name}:gt_size: {opt['gt_size']} is no multiple of scale {_scale(opt)}; take one")
    if hasattr(kind, "pairings_of"):
        return _check_ours(name, opt, kind, backend)
    # video clips lie in folders of folders, and `meta_info` lists its pairs in another way
    if "num_frame" in opt or opt.get("meta_info") is not None:
        return None

    pairs = [{GT: roots[GT], key: root} for key, root in roots.items() if key.startswith(LQ) and GT in roots]
    count = None
    for folders in pairs or [{key: root} for key, root in roots.items()]:
        names = lmdb_keys(name, folders) if backend == "lmdb" else file_names(name, folders, opt)
        looks = {key: _looks(f"{name}:{key}", root, names[key], backend) for key, root in folders.items()}
        count = len(looks[next(iter(folders))])
        if pairs:
            _check_sizes(name, opt, names[GT], *looks.values(), pads=False)
    return count


def cut_off(opt: Mapping[str, Any]) -> str:
    """Which LMDB of a dataset was cut off since it was checked; empty if none was.

    Args:
        opt: The dataset's block.
    """
    for block in blocks(opt).values() if opt.get("sets") else [opt]:
        if _backend("", block) != "lmdb":
            continue
        for root in (str(value) for key, value in block.items() if key.startswith("dataroot")):
            try:
                whole_lmdb_environment(os.path.realpath(root))
            except UserError as error:
                return str(error)
    return ""


def _check_ours(name: str, opt: Mapping[str, Any], kind: Any, backend: str) -> int:
    """Check a dataset of one of our classes, which pair their pictures; return the number of images."""
    try:
        pairings = kind.pairings_of(opt)
    except UserError as error:
        raise UserError(f"{name}:{error}" if re.match(r"\w+: ", str(error)) else f"{name}: {error}") from None
    looks = {}
    for root, folder in kind.roots(opt).items():
        where = f"{name}:dataroot_{root}"
        # each once: in SPAD several LQ have one GT
        files = list(dict.fromkeys(pairing.files[root] for pairing in pairings))
        seen = dict(zip(files, _looks(where, folder, files, backend), strict=True))
        if (bits := kind.bits_of(opt)) > 8 and kind.needs_its_bits:
            _check_bits(where, folder, seen, kind, bits)
        looks[root] = [seen[pairing.files[root]] for pairing in pairings]
    if "gt" not in looks:
        return len(pairings)
    names = [pairing.files["gt"] for pairing in pairings]
    for root in looks.keys() - {"gt"}:
        _check_sizes(name, opt, names, looks["gt"], looks[root], pads=True)
    if small := [
        f"{image} ({look.height}x{look.width})"
        for image, look in zip(names, looks["gt"], strict=True)
        if min(look.height, look.width) < _scale(opt)
    ]:
        count = f"{len(small)} of {len(pairings)}"
        raise UserError(
            f"{name}:{GT}: {count} images are smaller than scale {_scale(opt)}: {listed(small)}; remove them"
        )
    return len(pairings)


def _backend(name: str, opt: Mapping[str, Any]) -> str:
    backend = opt.get("io_backend", {"type": "disk"})
    kind = backend.get("type") if isinstance(backend, Mapping) else backend
    if not isinstance(backend, Mapping) or kind not in ("disk", "lmdb", "memcached"):
        raise UserError(f"{name}:io_backend: {kind!r} is unknown; write {{type: disk}} or {{type: lmdb}}")
    return kind


def _scale(opt: Mapping[str, Any]) -> int:
    return opt.get("scale") or 1


def _check_root(where: str, root: str, backend: str) -> None:
    """Raise UserError unless `root` is a folder, and an LMDB if and only if the backend is lmdb."""
    if not Path(root).exists() and Path(f"{root}.part").exists():
        raise UserError(f"{where}: {root} is unfinished, there is only {root}.part; run `basicsr lmdb` again")
    older = Path(re.sub(r"GTmod\d+", "GTmod12", root))
    if not Path(root).exists() and older.exists():
        raise UserError(
            f"{where}: {root} does not exist, but {older.name} does, as older versions prepared sets for all "
            f"scales alike; prepare the set again, or name {older} and get 0.02 to 0.03 dB less"
        )
    existing_folder(root, where)
    if backend != "lmdb":
        if Path(root, "data.mdb").exists():
            raise UserError(f"{where}: {root} is an LMDB; set io_backend: {{type: lmdb}} or name another")
        return
    if not root.endswith(".lmdb"):
        raise UserError(
            f"{where}: {root} does not end in .lmdb, yet io_backend is lmdb; name an LMDB (`basicsr lmdb` "
            "makes them) or set io_backend: {type: disk}"
        )
    for file in ("data.mdb", "meta_info.txt"):
        if not os.path.lexists(Path(root, file)):
            raise UserError(f"{where}: {root} lacks {file}, it is no whole LMDB; use `basicsr lmdb`")
        existing_file(Path(root, file), where, "make the LMDB again with `basicsr lmdb`")


def _looks(where: str, root: str, names: list[str], backend: str) -> list[Look]:
    """The size and format of every image.  Raises UserError if some are not whole."""
    if backend != "lmdb":
        return _seen(where, root, names, None)
    try:
        return in_child(lambda: _seen(where, root, names, _open(where, root)))
    except Crashed as crash:
        raise UserError(
            f"{where}: {Path(root, 'data.mdb')} is damaged (reading it ended by {crash}); make it again"
        ) from None


def _seen(where: str, root: str, names: list[str], environment: Any) -> list[Look]:
    """`_looks` in a folder, or in an open LMDB."""

    def readable(seen: Look) -> Look:
        if seen.bits > 16:  # OpenCV reads no colour picture from such a file
            raise Broken(f"{seen.bits} bits: save it with 8 or 16")
        return seen

    def look(image: str) -> Look | str:
        try:
            if environment is None:
                return readable(look_at_file(Path(root, image)))
            with environment.begin(buffers=True) as transaction:
                value = transaction.get(image.encode("utf-8", "replace"))
                if value is None:
                    raise Broken("in meta_info.txt, but not stored")
                return readable(look_at_bytes(value))
        except Broken as error:
            return f"{image} ({error})"
        except lmdb.Error:  # a damaged page of the database
            return f"{image} (cannot be looked up: the LMDB is damaged)"

    looks = list(in_threads(look, names, desc=f"checking {where}"))
    if broken := [fault for fault in looks if isinstance(fault, str)]:
        count = f"{len(broken)} of {len(names)}"
        remedy = "replace them or move them away"
        raise UserError(f"{where}: {count} images in {root} are broken: {listed(broken)}; {remedy}")
    return [look for look in looks if isinstance(look, Look)]


def _open(where: str, root: str) -> Any:
    try:
        # a dataset of this process may have it open already, and opening it twice is an error
        return whole_lmdb_environment(os.path.realpath(root))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_bits(where: str, root: str, looks: dict[str, Look], kind: type, bits: int) -> None:
    wrong = [
        f"{name} ({look.channels} of {look.bits})"
        for name, look in looks.items()
        if (look.channels, look.bits) != (3, bits)
    ]
    if wrong:
        raise UserError(
            f"{where}: {len(wrong)} of {len(looks)} images in {root} have not 3 channels of {bits} bits: "
            f"{listed(wrong)}; {kind.__name__} needs them so; PairedDataset without `bits: 16` reads any"
        )


def _check_sizes(
    name: str, opt: Mapping[str, Any], names: list[str], gts: list[Look], lqs: list[Look], *, pads: bool
) -> None:
    scale, training = _scale(opt), opt.get("phase") == "train"
    # in validation BasicSR crops a GT whose size is no multiple of the scale
    spare = 0 if training else scale - 1
    misfits, small = [], []
    for image, gt, lq in zip(names, gts, lqs, strict=True):
        sizes = f"{image} (GT {gt.height}x{gt.width}, LQ {lq.height}x{lq.width})"
        if not (0 <= gt.height - scale * lq.height <= spare and 0 <= gt.width - scale * lq.width <= spare):
            misfits.append(sizes)
        if training and not pads and min(gt.height, gt.width) < (opt.get("gt_size") or 0):
            small.append(sizes)
    if misfits:
        raise UserError(
            f"{name}: GT is not {scale} times LQ in {len(misfits)} of {len(names)} pairs: {listed(misfits)}; "
            f"correct scale, {GT} or {LQ}"
        )
    if small:
        raise UserError(
            f"{name}: {len(small)} of {len(names)} images are smaller than gt_size {opt['gt_size']}: "
            f"{listed(small)}; remove them or lower gt_size"
        )
