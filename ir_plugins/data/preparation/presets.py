"""The sets that scripts/prepare_data.py knows; add a new one to PRESETS and to docs/DATASETS.md."""

from dataclasses import dataclass

from .cuts import Centre, Grid
from .distributions import RAIN100, SIDD, dense_haze, dpdd, gopro, pairs, raindrop, weather
from .parts import Pictures
from .sources import Layout
from .special import Blocks, Boxes, PairList

# each has `folder`, `optional`, expected() and plan(), as Pictures explains them
Part = Pictures | Blocks | Boxes | PairList


@dataclass(frozen=True)
class Preset:
    """A set.

    Args:
        about: A description in one line.
        parts: What to make.
        sr: What `prepare_sr` makes: "" nothing; "train" everything; "test" HR and LR of the pictures in GT,
            which come from `parts`.
    """

    about: str
    parts: tuple[Part, ...] = ()
    sr: str = ""


def _test_pairs(name: str, about: str, published: int, *more: Layout) -> Preset:
    layouts = (*more, *pairs("", f"{name}/", f"test/{name}/"), *pairs("", input="lq", target="gt"))
    return Preset(about, (Pictures("", layouts, published),))


def _whole(about: str, published: int, *places: str, sr: str = "") -> Preset:
    """Uncut pictures in GT."""
    layouts = tuple(
        Layout({"GT": f"{place}*"}) for place in ("GT/", *places, "original/", "original_png/", "")
    )
    return Preset(about, (Pictures("", layouts, published),), sr)


def _realblur(letter: str) -> Preset:
    name = f"RealBlur_{letter}"
    scenes = tuple(
        Layout(
            {"input": f"{place}*/blur/blur_*", "target": f"{place}*/gt/gt_*"},
            list_file=f"{name}_test_list.txt",
        )
        for place in (f"RealBlur-{letter}_<any>/", "")
    )
    return _test_pairs(name, f"real motion blur, test ({'JPEG' if letter == 'J' else 'raw'})", 980, *scenes)


PRESETS: dict[str, Preset] = {
    # super-resolution
    "DF2K": Preset("DIV2K and Flickr2K: crops of 480, MATLAB-bicubic LR (prepare_sr.py)", sr="train"),
    "Set5": _whole("super-resolution, test", 5, sr="test"),
    "Set14": _whole("super-resolution, test", 14, sr="test"),
    "BSD100": _whole("super-resolution, test", 100, sr="test"),
    "Urban100": _whole("super-resolution and denoising, test", 100, sr="test"),
    "Manga109": _whole("super-resolution, test", 109, sr="test"),
    # denoising, JPEG artifacts, demosaicking: the damage is made while reading
    "DFWB": Preset(
        "DIV2K, Flickr2K, BSD400 and WED: clean pictures for training; one --source each",
        (
            Pictures(
                "",
                (Layout({"": "*/*"}), Layout({"": "<any>/*/*"})),
                800 + 2650 + 400 + 4744,
                Grid(512, 416, only_above=800),
                every_source=True,
            ),
        ),
    ),
    "CBSD68": _whole("colour denoising, test", 68),
    "Kodak24": _whole("colour denoising and demosaicking, test", 24),
    "McMaster": _whole("colour denoising and demosaicking, test", 18),
    "Set12": _whole("gray denoising, test", 12),
    "BSD68": _whole("gray denoising, test", 68),
    "Classic5": _whole("gray JPEG artifacts, test", 5),
    "LIVE1": _whole("JPEG artifacts, test", 29),
    "BSDS500": _whole(
        "colour JPEG artifacts, test",
        200,
        "BSDS500/data/images/test/",
        "data/images/test/",
        "images/test/",
        "test/",
    ),
    # real noise
    "SIDD": Preset(
        "real noise: training crops of 512, validation blocks of 256",
        (
            Pictures("train", SIDD, 320, Grid(512, 384), optional=True),
            Blocks(
                "val",
                {"input": "ValidationNoisyBlocksSrgb.mat", "target": "ValidationGtBlocksSrgb.mat"},
                40 * 32,
                optional=True,
            ),
        ),
    ),
    "DND": Preset("real noise, test without ground truth: 20 boxes of each picture", (Boxes("input", 1000),)),
    # rain
    "Rain13K": Preset(
        "rain, training", (Pictures("", pairs("", "Rain13K/", "train/Rain13K/", "train/"), 13712),)
    ),
    "Test100": _test_pairs("Test100", "rain, test", 100),
    "Rain100H": _test_pairs("Rain100H", "heavy rain, test", 100, *RAIN100),
    "Rain100L": _test_pairs("Rain100L", "light rain, test", 100, *RAIN100),
    "Test1200": _test_pairs("Test1200", "rain, test", 1200),
    "Test2800": _test_pairs("Test2800", "rain, test", 2800),
    "SPAD": Preset(
        "real rain: two lists of pairs, checked; pictures stay where they are",
        (
            PairList("", "real_world.txt", 638492, optional=True),
            PairList("", "real_test_1000.txt", 1000, optional=True),
        ),
    ),
    # motion blur
    "GoPro": Preset(
        "motion blur: training crops of 512, centres of 256 for validation, whole test pictures",
        (
            Pictures("train", gopro("train"), 2103, Grid(512, 256)),
            Pictures("val", gopro("test"), 1111, Centre(256)),
            Pictures("test", gopro("test"), 1111),
        ),
    ),
    "HIDE": _test_pairs(
        "HIDE",
        "motion blur of people, test",
        2025,
        Layout({"input": "test/<any>/*", "target": "GT/*"}, spare=True),
    ),
    "RealBlur_J": _realblur("J"),
    "RealBlur_R": _realblur("R"),
    # defocus
    "DPDD": Preset(
        "defocus, dual pixel, 16 bits: the sharper crops of 512, centres of 256, test indoor and outdoor",
        (
            Pictures("train", dpdd("train"), 350, Grid(512, 204, drop=0.3), bits=16, optional=True),
            Pictures("val", dpdd("val"), 74, Centre(256), bits=16, optional=True),
            Pictures("test", dpdd("test"), 76, bits=16, labels=("indoor", "outdoor"), optional=True),
        ),
    ),
    # drops, haze, weather
    "Raindrop": Preset(
        "drops on a pane (AGAN-Data)",
        (
            Pictures("train", raindrop("train"), 861),
            Pictures("test_a", raindrop("test_a"), 58),
            Pictures("test_b", raindrop("test_b"), 249, optional=True),
        ),
    ),
    "Dense-Haze": Preset(
        "dense haze",
        (
            Pictures("train", dense_haze("train", range(1, 46)), 45),
            Pictures("valid", dense_haze("valid", range(46, 51)), 5),
            Pictures("test", dense_haze("test", range(51, 56)), 5, optional=True),
        ),
    ),
    "AllWeather": Preset(
        "rain with fog, snow and drops for one model: training and its three test sets",
        (
            Pictures(
                "train",
                (
                    *(
                        Layout(
                            {"input": f"{place}input/*", "target": f"{place}gt/*"},
                            list_file="allweather.txt",
                        )
                        for place in ("", "allweather/", "train/")
                    ),
                    *pairs("", "train/"),
                ),
                18069,
                optional=True,
            ),
            Pictures("Test1", weather("Test1"), 750, optional=True),
            Pictures("Snow100K-L", weather("Snow100K-L"), 16801, optional=True),
            Pictures("RainDrop", (*weather("RainDrop"), *raindrop("test_a")), 58, optional=True),
        ),
    ),
}
