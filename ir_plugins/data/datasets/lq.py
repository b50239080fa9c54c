"""Pictures without ground truth."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ...pictures.files import files_in, has_image_name
from ...pictures.looks import Look
from ...pictures.window import to_tensor
from ...runtime.errors import UserError, listed
from ...runtime.threads import in_threads
from ..pairing import Pairing
from .base import shared_keys
from .paired import PairedDataset


@DATASET_REGISTRY.register()
class LQDataset(PairedDataset):
    """Pictures without ground truth, to be restored: a folder, an LMDB or one file; in validation and test.

    Unlike BasicSR's SingleImageDataset it reads 16 bits, subfolders and lists.  It takes every picture:
    `bits: 16` spreads 8 bits over 16, gray becomes colour, and alpha comes beside lq.  The log says so.  An
    item has no gt; its name is the picture's path below its root without the ending, or with it where a.jpg
    lies beside a.png; `alpha`, (h, w), uint8, is there unless the picture is opaque.
    """

    needed = ("io_backend", "dataroot_lq")
    option_keys: Mapping[str, Key] = {
        **{key: PairedDataset.option_keys[key] for key in ("io_backend", "meta_info_file", "color", "bits")},
        **shared_keys("dataroot_lq"),
    }
    needs_its_bits = False
    takes_a_file = True

    @staticmethod
    def roots(opt: Mapping[str, Any]) -> dict[str, str]:
        root = Path(opt["dataroot_lq"])
        return {"lq": str(root.parent if root.is_file() else root)}

    @classmethod
    def pairings_of(cls, opt: Mapping[str, Any]) -> list[Pairing]:
        if not (file := Path(opt["dataroot_lq"])).is_file():
            return super().pairings_of(opt)
        if opt.get("meta_info_file"):
            raise UserError("meta_info_file: lists pictures of a folder, but dataroot_lq is one; take it out")
        return [Pairing(file.stem, {"lq": file.name})]

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().option_problems(opt)
        if opt.get("phase") == "train":
            yield "type", "is LQDataset, which has nothing to learn from; PairedDataset has ground truth too"

    def __getitem__(self, index: int) -> dict[str, Any]:
        pairing, store = self.pairings[index], self._stores["lq"]
        file = pairing.files["lq"]
        item = {"lq": to_tensor(self.coloured(self._read("lq", file))), "lq_path": store.path(file)}
        if (alpha := store.alpha(file)) is not None:
            item["alpha"] = alpha
        return item | {"name": pairing.name}

    def notes(self) -> Iterator[str]:
        """Lines for the log: which files are left out, and which pictures are converted, and why."""
        root, files = self.opt["dataroot_lq"], [pairing.files["lq"] for pairing in self.pairings]
        if Path(root).is_dir() and self.opt["io_backend"]["type"] == "disk":
            others = [path for path in files_in(Path(root), recursive=True) if not has_image_name(path)]
            if others:
                names = listed([path.relative_to(root).as_posix() for path in others])
                yield f"{root}: left out, because the names are not a picture's: {names}"
        if with_ending := [file for p in self.pairings if has_image_name(file := p.name)]:
            yield f"{root}: share a name, so their results keep the ending: {listed(with_ending)}"
        looks = list(in_threads(self._stores["lq"].look, files, desc="looking"))
        more = "" if self.bits == 16 else "; `bits: 16` keeps them"
        kinds: dict[str, Callable[[Look], bool]] = {
            "have an alpha channel, which is not restored and goes into the result": lambda look: look.alpha,
            f"have more than 8 bits, of which the lower ones are dropped{more}": lambda look: (
                look.bits > self.bits
            ),
            "have 8 bits, which are spread over 16": lambda look: look.bits < self.bits == 16,
            "are gray and become colour": lambda look: look.channels == 1 and self.colour == "rgb",
        }
        for text, is_kind in kinds.items():
            found = [file for file, look in zip(files, looks, strict=True) if is_kind(look)]
            if found:
                yield f"{root}: {len(found)} of {len(files)} {text}: {listed(found)}"
