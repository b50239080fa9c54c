"""Make a super-resolution data set from folders of high-resolution images: crops, MATLAB-bicubic LR, LMDBs.

Training (DF2K = DIV2K + Flickr2K), into datasets/DF2K/DF2K_HR_sub.lmdb, DF2K_LR_bicubic_X2_sub.lmdb, ...:

    python scripts/prepare_sr.py --input DIV2K_train_HR Flickr2K_HR --name DF2K --lmdb

Testing, uncut, into datasets/Set5/GTmod12, LRbicx2, LRbicx3, LRbicx4:

    python scripts/prepare_sr.py --input Set5/original --name Set5 --whole

Each image is trimmed to a multiple of all scales, made small as a whole, and only then cut, so an LR crop is
just what lies under its HR crop.  Crops are BasicSR's: a grid of --step and a last one flush with the edge; a
side shorter than --crop_size stays uncut.  Images become 8-bit colour as BasicSR reads them (gray is tripled,
16 bit reduced); an alpha channel is refused.

Killed or interrupted, the same command goes on: NAME_prepare.jsonl lists finished images by their content.
"""

import argparse
import math
import sys
from pathlib import Path

from ir_plugins.data.preparation.jobs import Job, Journal, make, pack, refuse_foreign, verify
from ir_plugins.data.preparation.subimages import Crop, cutting, lay_out
from ir_plugins.pictures.files import Broken, Look, existing_folder, look_at_file
from ir_plugins.pictures.lmdb import image_keys
from ir_plugins.runtime.errors import UserError, listed
from ir_plugins.runtime.locks import alone
from ir_plugins.runtime.threads import in_threads


def main(argv: list[str] | None = None) -> int:
    """Run the script.  Returns the exit status: 0 on success, 2 for the user's mistakes, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        prepare(args)
    except UserError as error:
        print(f"prepare_sr: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"prepare_sr: error: {error}; mend that, and the same command goes on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare_sr: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--input", nargs="+", required=True, metavar="DIR", help="folders of HR images")
    add("--output", metavar="DIR", help="default: datasets/NAME")
    add("--name", default="DF2K", help="name of the data set, DF2K by default")
    add("--scales", nargs="+", type=int, default=[2, 3, 4], metavar="S", help="2 3 4 by default")
    add("--whole", action="store_true", help="cut no crops: for a test set")
    add("--crop_size", type=int, default=480, metavar="N", help="in HR pixels, 480 by default")
    add("--step", type=int, default=240, metavar="N", help="from crop to crop in HR pixels, 240 by default")
    add("--thresh_size", type=int, default=0, metavar="N", help="drop rests of up to N pixels, 0 by default")
    add("--lmdb", action="store_true", help="also pack each folder into an LMDB beside it")
    add("--codec", default="png", choices=["png", "raw"], help="of the LMDBs, png by default")
    add("--workers", type=int, metavar="N", help="threads, one per core by default")
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Do all of it; nothing is written before every input has been looked at.  Raises UserError."""
    modulus = _check(args)
    output = Path(args.output or Path("datasets", args.name))
    if args.whole:
        names = {1: f"GTmod{modulus}"} | {scale: f"LRbicx{scale}" for scale in args.scales}
    else:
        names = {1: f"{args.name}_HR_sub"} | {s: f"{args.name}_LR_bicubic_X{s}_sub" for s in args.scales}
    folders = {scale: output / name for scale, name in names.items()}
    jobs, crops = _plan(args, modulus, output, folders)
    keys = ("scales", "whole") if args.whole else ("scales", "whole", "crop_size", "step", "thresh_size")
    settings = {key: getattr(args, key) for key in keys}
    journal = Journal(output / f"{args.name}_prepare.jsonl")
    refuse_foreign(settings, journal, jobs, folders.values())

    output.mkdir(parents=True, exist_ok=True)
    with alone(journal.path, f"--output: another process is writing to {output}; wait for it"):
        if journal.settings is None:
            journal.add(settings=settings)
        make(jobs, journal, args.workers, option="--input")
        verify(jobs, args.workers)
        if args.lmdb:
            pack(jobs, folders.values(), journal, args.workers, args.codec)
    _report(args, len(jobs), crops, folders)


def _check(args: argparse.Namespace) -> int:
    """Refuse numbers that do not go together; return what every HR size and position is a multiple of."""
    args.scales = sorted(set(args.scales))
    if args.scales[0] < 2:
        raise UserError(f"--scales: {args.scales[0]} makes nothing smaller; give whole numbers from 2")
    modulus = math.lcm(*args.scales)
    for key, least in (("crop_size", 1), ("step", 1), ("thresh_size", 0), ("workers", 1)):
        value = getattr(args, key)
        if value is not None and value < least:
            hint = "; --whole leaves images uncut" if key == "crop_size" else f"; give {least} or more"
            raise UserError(f"--{key}: {value} is too small{hint}")
    for key in ("crop_size", "step"):
        if getattr(args, key) % modulus and not args.whole:
            raise UserError(
                f"--{key}: {getattr(args, key)} is no multiple of {modulus}, the least common multiple of "
                f"--scales {' '.join(map(str, args.scales))}; change one of them"
            )
    return modulus


def _plan(
    args: argparse.Namespace, modulus: int, output: Path, folders: dict[int, Path]
) -> tuple[list[Job], list[Crop]]:
    """Look at every input image and lay out its crops, in the order of the names.  Raises UserError."""
    paths: dict[str, Path] = {}
    for folder in args.input:
        for key, path in image_keys(existing_folder(folder, "--input"), outside=output).items():
            stem = key.replace("/", "_")  # BasicSR does not look into subfolders
            if stem in paths:
                raise UserError(f"--input: {paths[stem]} and {path} are both to become {stem}; rename one")
            paths[stem] = path
    paths = dict(sorted(paths.items()))

    def look(path: Path) -> Look | str:
        try:
            seen = look_at_file(path)
        except Broken as error:
            return f"{path} ({error})"
        if seen.alpha:
            return f"{path} (has an alpha channel: flatten it)"
        if min(seen.height, seen.width) < modulus:
            return f"{path} ({seen.height}x{seen.width}, less than {modulus})"
        return seen

    looks = list(in_threads(look, paths.values(), desc="looking", workers=args.workers))
    if faults := [fault for fault in looks if isinstance(fault, str)]:
        raise UserError(f"--input: {len(faults)} of {len(looks)} images will not do: {listed(faults)}")
    jobs, all_crops = [], []
    for (stem, path), seen in zip(paths.items(), (x for x in looks if isinstance(x, Look)), strict=True):
        h, w = seen.height // modulus * modulus, seen.width // modulus * modulus
        if args.whole:
            crops = [Crop(f"{stem}.png", 0, 0, h, w)]
        else:
            crops = lay_out(
                stem, h, w, crop_size=args.crop_size, step=args.step, thresh_size=args.thresh_size
            )
        jobs.append(cutting(stem, path, h, w, crops, folders))
        all_crops += crops
    return jobs, all_crops


def _report(args: argparse.Namespace, images: int, crops: list[Crop], folders: dict[int, Path]) -> None:
    """Say what was made and what to put into the option file."""
    kind = "images" if args.whole else f"crops of {images} images"
    print(f"{folders[1].parent}: {len(crops)} {kind} in each of {len(folders)} folders")
    small = [min(crop.height, crop.width) for crop in crops if min(crop.height, crop.width) < args.crop_size]
    if small and not args.whole:
        print(
            f"{len(small)} of them are smaller than {args.crop_size}: PairedDataset pads them, for BasicSR's"
        )
        print(f"PairedImageDataset gt_size may not exceed {min(small)}")
    ending, backend = (".lmdb", "lmdb") if args.lmdb else ("", "disk")
    for scale in args.scales:
        print(f"\nscale {scale}, in the option file below datasets:")
        print(f"    dataroot_gt: {folders[1]}{ending}")
        print(f"    dataroot_lq: {folders[scale]}{ending}")
        print(f"    io_backend: {{type: {backend}}}")


if __name__ == "__main__":
    sys.exit(main())
