"""Prepare a data set as its option files want it: pairs of equal name, the published crops, counts.

    python scripts/prepare_data.py --list
    python scripts/prepare_data.py GoPro --source downloads/GOPRO_Large
    python scripts/prepare_data.py DFWB --source DIV2K_train_HR Flickr2K BSD400 WED --lmdb
    python scripts/prepare_data.py SIDD --source SIDD_Medium_Srgb folder_of_the_mat_files

Where to download the sets and what their folders look like: docs/DATASETS.md.  Every picture is looked at
before anything is written, and every file again at the end.  Pictures that stay whole are copied byte for
byte; crops are PNG.

After a kill or Ctrl-C, run the same command again: it continues, since a hidden .prepared.jsonl lists what is
finished.
"""

import argparse
import sys
from pathlib import Path

from ir_plugins.data.preparation.pipeline import exit_status, layouts, prepare
from ir_plugins.data.preparation.presets import PRESETS
from ir_plugins.data.preparation.super_resolution import Settings, prepare_sr
from ir_plugins.runtime.errors import UserError, listed


def main(argv: list[str] | None = None) -> int:
    """Run the script.  Returns the exit status: 0 on success, 2 for the user's mistakes, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    return exit_status("prepare_data", lambda: _list() if args.list else _prepare(args))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("preset", nargs="?", metavar="PRESET", help="the set; --list shows them")
    add("--list", action="store_true", help="show the sets, one a line")
    add("--source", nargs="+", metavar="DIR", help="where it was unpacked")
    add("--output", metavar="DIR", help="default: datasets/PRESET")
    add("--workers", type=int, metavar="N", help="threads, one per core by default")
    add("--lmdb", action="store_true", help="also pack each folder into an LMDB beside it")
    add("--codec", choices=["png", "raw"], help="of the LMDBs, png by default")
    return parser


def _list() -> None:
    width = max(map(len, PRESETS))
    print("\n".join(f"{name:{width}}  {preset.about}" for name, preset in PRESETS.items()))


def _prepare(args: argparse.Namespace) -> None:
    if args.preset is None:
        raise UserError("name a set, such as GoPro; --list shows them all")
    names = {name.lower(): name for name in PRESETS}
    name = names.get(args.preset.lower())
    if name is None:
        raise UserError(
            f"{args.preset} is no set known here; --list shows them all, such as {listed(PRESETS)}"
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
    preset, output = PRESETS[name], Path(args.output or Path("datasets", name))
    how = {"workers": args.workers, "lmdb": args.lmdb, "codec": args.codec or "png"}
    sources = args.source
    if preset.parts:
        print("\n".join(prepare(name, sources, output, **how)))
        sources = [output / "GT"]
    if preset.sr:
        given = {"name": name, "output": output, "whole": preset.sr == "test", "option": "--source"}
        print("\n".join(prepare_sr(Settings(input=sources, **given, **how))))


if __name__ == "__main__":
    sys.exit(main())
