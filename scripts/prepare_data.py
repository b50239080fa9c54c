"""Prepare a data set as its option files want it: pairs of equal name, the published crops, counts.

    python scripts/prepare_data.py --list
    python scripts/prepare_data.py GoPro --source downloads/GOPRO_Large
    python scripts/prepare_data.py DFWB --source DIV2K_train_HR Flickr2K BSD400 WED --lmdb
    python scripts/prepare_data.py SIDD --source SIDD_Medium_Srgb folder_of_the_mat_files

Where to download the sets and what their folders look like: docs/DATASETS.md.  Every picture is looked at
before anything is written, and every file again at the end.  Pictures that stay whole are copied byte for
byte; crops are PNG.

Killed or interrupted, the same command goes on: a hidden .prepared.jsonl lists what is finished.
"""

import argparse
import sys
from pathlib import Path

import prepare_sr

from ir_plugins.data.preparation.pipeline import layouts, prepare
from ir_plugins.data.preparation.presets import PRESETS
from ir_plugins.runtime.errors import UserError, listed


def main(argv: list[str] | None = None) -> int:
    """Run the script.  Returns the exit status: 0 on success, 2 for the user's mistakes, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        if args.list:
            width = max(map(len, PRESETS))
            print("\n".join(f"{name:{width}}  {preset.about}" for name, preset in PRESETS.items()))
            return 0
        return _prepare(args)
    except UserError as error:
        print(f"prepare_data: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"prepare_data: error: {error}; mend that, and the same command goes on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare_data: interrupted; the same command goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("preset", nargs="?", metavar="PRESET", help="the set; --list tells them")
    add("--list", action="store_true", help="tell the sets, one a line")
    add("--source", nargs="+", metavar="DIR", help="where it was unpacked")
    add("--output", metavar="DIR", help="default: datasets/PRESET")
    add("--workers", type=int, metavar="N", help="threads, one per core by default")
    add("--lmdb", action="store_true", help="also pack each folder into an LMDB beside it")
    add("--codec", choices=["png", "raw"], help="of the LMDBs, png by default")
    return parser


def _prepare(args: argparse.Namespace) -> int:
    if args.preset is None:
        raise UserError("name a set, such as GoPro; --list tells them all")
    names = {name.lower(): name for name in PRESETS}
    name = names.get(args.preset.lower())
    if name is None:
        raise UserError(
            f"{args.preset} is no set known here; --list tells them all, such as {listed(PRESETS)}"
        )
    if not args.source:
        ways = "\n".join(
            [", in one of these ways:", *layouts(PRESETS[name].parts)] if PRESETS[name].parts else []
        )
        raise UserError(f"--source: is missing; name the folder that {name} was unpacked into{ways}")
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers: {args.workers} is too small; give 1 or more")
    if args.codec and not args.lmdb:
        raise UserError("--codec: is for LMDBs; add --lmdb")
    preset = PRESETS[name]
    output, codec = Path(args.output or Path("datasets", name)), args.codec or "png"
    sources = args.source
    if preset.parts:
        options = {"workers": args.workers, "lmdb": args.lmdb, "codec": codec}
        print("\n".join(prepare(name, sources, output, **options)))
        sources = [str(output / "GT")]
    if not preset.sr:
        return 0
    more = ["--whole"] if preset.sr == "test" else []
    more += ["--lmdb", "--codec", codec] if args.lmdb else []
    more += ["--workers", str(args.workers)] if args.workers else []
    return prepare_sr.main(["--input", *sources, "--name", name, "--output", str(output), *more])


if __name__ == "__main__":
    sys.exit(main())
