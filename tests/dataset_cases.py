"""Every dataset of ours, opened on the same pictures."""

from picture_sets import (
    opened,
    stored,
)

from ir_plugins.data import (
    BayerDataset,
    BicubicDataset,
    DualPixelDataset,
    GaussianNoiseDataset,
    JPEGDataset,
    MixedDataset,
    PairedDataset,
)

SIZES = [(23, 31), (19, 41), (37, 17)]

# by name a class and the options beside the folders; everything random is in them
CASES = {
    "paired": (PairedDataset, {}),
    "dual": (DualPixelDataset, {}),
    "noise": (GaussianNoiseDataset, {"sigma": [5, 50]}),
    "jpeg": (JPEGDataset, {"quality": [10, 90], "color": "gray"}),
    "bayer": (BayerDataset, {"pattern": "gbrg"}),
    "bicubic": (BicubicDataset, {"scale": 3, "gt_size": 6}),
    "mixed": (MixedDataset, {}),
}


def options_of(case, folders, storage="disk"):
    kind, options = CASES[case]
    gt = {"dataroot_gt": str(folders / "gt")}
    lq = {"dataroot_lq": str(folders / "lq")}
    dual = {"dataroot_lqL": str(folders / "left"), "dataroot_lqR": str(folders / "right")}
    if kind is MixedDataset:
        sets = {
            "noisy": {"type": "GaussianNoiseDataset", "sigma": [5, 50], **stored(gt, storage)},
            "rain": stored(gt | lq, storage),
        }
        return kind, {"sets": sets}
    if kind is DualPixelDataset:
        return kind, options | stored({"dataroot_gt": str(folders / "gt16")} | dual, storage)
    return kind, options | stored(gt | (lq if kind is PairedDataset else {}), storage)


def count_of(case):
    return 6 if case == "mixed" else 3


def open_case(case, folders, phase="val", storage="disk", **more):
    kind, options = options_of(case, folders, storage)
    return opened(kind, phase, count=count_of(case), **options | more)
