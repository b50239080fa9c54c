"""Make a super-resolution data set from folders of high-resolution images: crops, MATLAB-bicubic LR, LMDBs.

Training (DF2K = DIV2K + Flickr2K), into datasets/DF2K/DF2K_HR_sub.lmdb, DF2K_LR_bicubic_X2_sub.lmdb, ...:

    python scripts/prepare_sr.py --input DIV2K_train_HR Flickr2K_HR --name DF2K --lmdb

Testing, uncut, into datasets/Set5/GTmod2, LRbicx2, GTmod3, LRbicx3, GTmod4, LRbicx4:

    python scripts/prepare_sr.py --input Set5/original --name Set5 --whole

Each image is trimmed to a multiple of all scales, made small as a whole, and only then cut, so an LR crop is
exactly what lies under its HR crop.  With --whole it is trimmed for each scale by itself, as for published
figures, so each scale has its own HR.  Crops are BasicSR's: a grid of --step and a last one flush with the
edge; a side shorter than --crop_size stays uncut.  Images become 8-bit colour as BasicSR reads them (gray is
tripled, 16 bit reduced); an alpha channel is refused.

After a kill or Ctrl-C, run the same command again: it continues, since NAME_prepare.jsonl lists finished
images by their content.
"""

import argparse
import sys

from ir_plugins.data.preparation.pipeline import exit_status
from ir_plugins.data.preparation.super_resolution import Settings, prepare_sr


def main(argv: list[str] | None = None) -> int:
    """Run the script.  Returns the exit status: 0 on success, 2 for the user's mistakes, 130 for Ctrl-C."""
    settings = Settings(**vars(_parser().parse_args(argv)))
    return exit_status("prepare_sr", lambda: print("\n".join(prepare_sr(settings))))


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


if __name__ == "__main__":
    sys.exit(main())
