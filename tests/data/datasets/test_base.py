"""What holds of every dataset: tests that repeat, training that does not, its keys, odd pictures."""

import os
import random
import shutil
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
from picture_sets import (
    STORAGES,
    as_tensor,
    block,
    digest,
    opened,
    packed,
    random_pixels,
    refused,
    save,
    stored,
)
from picture_sets import write as write_three
from PIL import Image
from torch.utils.data import DataLoader

from ir_plugins.data import (
    BayerDataset,
    BicubicDataset,
    DualPixelDataset,
    GaussianNoiseDataset,
    JPEGDataset,
    MixedDataset,
    PairedDataset,
)
from ir_plugins.data.datasets import base
from ir_plugins.options.dataset_blocks import dataset_problems
from ir_plugins.pictures import raw as raw_values
from ir_plugins.runtime.errors import UserError
from ir_plugins.training.order import Draw, Drawn

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


@pytest.fixture
def folders(tmp_path):
    """Three pictures of 8 bits and three of 16, and others of the same sizes, by folder."""
    for folder, dtype in {"gt": "u1", "lq": "u1", "gt16": "u2", "left": "u2", "right": "u2"}.items():
        write_three(tmp_path / folder, dtype, SIZES, seed=len(folder))
    return tmp_path


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


def global_random_state():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


# -- items


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("case", CASES)
def test_a_test_item_is_the_same_whenever_and_wherever_it_is_made(folders, case, storage):
    expected = [digest(item) for item in open_case(case, folders)]
    assert len(set(expected)) == len(expected) == count_of(case)
    dataset = open_case(case, folders, storage=storage)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    before = global_random_state()
    for index in (2, 0, 1, 2):
        assert digest(dataset[index]) == expected[index]
    assert global_random_state() == before
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    assert [digest(item) for item in loader] == expected


@pytest.mark.parametrize("case", CASES)
def test_items_say_what_they_are(folders, case):
    for item in open_case(case, folders):
        assert item["lq"].dtype == item["gt"].dtype == torch.float32
        assert item["gt"].min() >= 0 and item["gt"].max() <= 1
        name = Path(item["name"])
        assert name.stem in "abc" and Path(item["gt_path"]).stem == name.stem == Path(item["lq_path"]).stem
        assert Path(item["gt_path"]).is_file()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("case", CASES)
def test_training_is_fresh_and_follows_the_draw(folders, case, storage):
    dataset = open_case(case, folders, "train", storage, use_hflip=True, use_rot=True)
    assert len({digest(dataset[0]) for _ in range(12)}) > 6
    size = 12 if case == "bicubic" else 7
    draws = [Draw(index, size, (0, epoch, index)) for epoch in range(3) for index in range(3)]
    first = [digest(Drawn(dataset)[draw]) for draw in draws]
    assert len(set(first)) == len(first)
    other = Drawn(open_case(case, folders, "train", use_hflip=True, use_rot=True))
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    before = global_random_state()
    items = {draw: other[draw] for draw in reversed(draws)}
    assert [digest(items[draw]) for draw in draws] == first
    assert global_random_state() == before
    assert {tuple(item["gt"].shape[1:]) for item in items.values()} == {(size, size)}
    again = Draw(0, size, (1, 0, 0))
    assert digest(other[again]) not in first


@pytest.mark.parametrize("case", [case for case in CASES if case != "mixed"])
def test_only_the_window_of_a_raw_picture_is_touched(folders, case, monkeypatch):
    """By counting what is copied or computed: a value is a view, and only parts of it are passed on."""
    for folder in folders.iterdir():
        dtype = "u2" if case == "dual" else "u1"
        write_three(folder, dtype, [(97, 101), (131, 83), (89, 127)])
    kind, options = options_of(case, folders, "raw")
    dataset = kind(block(kind, "train", **options))
    values, seen = [], []

    def read(self, kind, file, read=kind._read):
        values.append(read(self, kind, file))
        return values[-1]

    def in_colour(pixels, *rest, in_colour=base.in_colour):
        assert any(np.shares_memory(pixels, value) for value in values) or case == "bicubic"
        seen.append(pixels.shape[:2])
        return in_colour(pixels, *rest)

    monkeypatch.setattr(kind, "_read", read)
    monkeypatch.setattr(base, "in_colour", in_colour)
    dataset[0]
    assert values and not any(value.flags.owndata or value.flags.writeable for value in values)
    most = {"jpeg": 64, "bicubic": 6}.get(case, 4)
    assert seen and all(max(shape) <= most for shape in seen)


def test_a_raw_picture_is_not_copied_to_be_looked_at(folders):
    _, options = options_of("noise", folders, "raw")
    dataset = GaussianNoiseDataset(block(GaussianNoiseDataset, **options))
    pixels = dataset._read("gt", "a")
    assert isinstance(pixels.base.base if pixels.base is not None else None, (memoryview, np.ndarray))
    assert raw_values.is_raw(dataset._stores["gt"]._database.get("a"))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 0


# -- keys


class Watched(dict):
    """A block that remembers what was looked up."""

    def __init__(self, block):
        super().__init__(block)
        self.seen = set()

    def get(self, key, default=None):
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.seen.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("case", [case for case in CASES if case != "mixed"])
def test_the_keys_that_a_dataset_declares_are_those_that_it_reads(folders, case, monkeypatch):
    kind, options = options_of(case, folders)
    seen = set()
    for phase in ("train", "val"):
        opt = Watched(block(kind, phase, **options))
        monkeypatch.setattr(kind, "option_problems", lambda *_: [])  # which asks for all that are declared
        kind(opt)[0]
        seen |= opt.seen
    everyones = {"phase", "scale", "filename_tmpl"}  # the last does nothing to GT alone
    assert seen - everyones == set(kind.option_keys) - everyones
    assert set(kind.needed) <= set(kind.option_keys)
    assert {key for key in kind.option_keys if key.startswith("dataroot")} <= set(kind.needed)


def faults(kind, options, phase="train"):
    options = {key: value for key, value in options.items() if key not in ("phase", "scale")}
    loader = {"batch_size_per_gpu": 2, "num_worker_per_gpu": 0} if phase == "train" else {}
    found = dataset_problems(
        ("datasets", phase), loader | options, is_train=True, scale=kind_scale(kind), known=set()
    )
    first = {}
    for keys, text in found:
        first.setdefault(":".join(keys), text)
    return first


def kind_scale(kind):
    return 3 if kind is BicubicDataset else 1


@pytest.mark.parametrize("case", CASES)
def test_the_check_of_options_accepts_and_demands_what_a_dataset_does(folders, case):
    kind, options = options_of(case, folders)
    options = block(kind, "train", **options)
    assert faults(kind, options) == {} == faults(kind, options, "val")
    missing = {key for key, text in _without_each(kind, options).items() if text.startswith("is missing")}
    level = {"noise": {"sigma"}, "jpeg": {"quality"}}.get(case, set())
    assert missing == set(kind.needed) | {"gt_size", "use_hflip", "use_rot"} | level | {"type"}
    for key in kind.option_keys:
        wrong = f"{key}z"
        assert faults(kind, options | {wrong: 1}) == {
            f"datasets:train:{wrong}": f"unknown key; did you mean '{key}'?"
        }


def _without_each(kind, options):
    """Of each key what is said when it is missing."""
    found = {}
    for key in options:
        if key not in ("phase", "scale"):
            left = {k: v for k, v in options.items() if k != key}
            found[key] = faults(kind, left).get(f"datasets:train:{key}", "")
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", ["x4", "{}{}", 7, "{"])
def test_templates_that_cannot_be_followed(folders, case, template):
    kind, options = options_of(case, folders)
    if "filename_tmpl" not in kind.option_keys:
        return
    found = faults(kind, block(kind, "train", **options, filename_tmpl=template))
    assert found and all("filename_tmpl" in key for key in found)


@pytest.mark.parametrize("case", ["noise", "jpeg"])
@pytest.mark.parametrize(
    "level", [[50], [5, 9, 7], [50, 5], ["a", 5], [None, 5], [[5], [7]], "5", True, -1, []]
)
def test_levels_that_cannot_be_drawn(folders, case, level):
    kind, options = options_of(case, folders)
    key = "sigma" if case == "noise" else "quality"
    (named,) = faults(kind, block(kind, **options) | {key: level}, "val")
    assert named == f"datasets:val:{key}"
    with pytest.raises(UserError, match=f"^{key}: is "):
        kind(block(kind, **options) | {key: level})


@pytest.mark.parametrize(
    "case, key, value, says",
    [
        ("jpeg", "color", "grey", "expected one of rgb, gray, y"),
        ("jpeg", "quality", 0, "from 1 to below 101"),
        ("jpeg", "quality", 101, "from 1 to below 101"),
        ("jpeg", "quality", 7.5, "a whole number"),
        ("jpeg", "encoder", "mozjpeg", "expected one of opencv, libjpeg"),
        ("noise", "rounded", "yes", "expected true or false"),
        ("noise", "seed", -1, "of at least 0"),
        ("noise", "sigma", float("nan"), "is nan"),
        ("bayer", "pattern", "RGGB", "expected one of rggb, bggr, grbg, gbrg"),
        ("bayer", "initial", "bilinear", "expected one of malvar, none"),
        ("paired", "bits", 12, "expected one of 8, 16"),
        ("paired", "dataroot_lq", "none", "is none, which only"),
    ],
)
def test_values_that_cannot_be_meant(folders, case, key, value, says):
    kind, options = options_of(case, folders)
    (fault,) = faults(kind, block(kind, **options) | {key: value}, "val").items()
    assert fault[0] == f"datasets:val:{key}" and says in fault[1]


@pytest.mark.parametrize("color", ["rgb", "gray", "y", None])
@pytest.mark.parametrize("case", ["paired", "noise", "jpeg", "bicubic"])
def test_colours(folders, case, color):
    kind, options = options_of(case, folders)
    options = block(kind, **options) | {"color": color}
    assert faults(kind, options, "val") == {}
    item = kind(options)[0]
    assert (
        len(item["lq"]) == len(item["gt"]) == kind.channels(options) == (3 if color in ("rgb", None) else 1)
    )


@pytest.mark.parametrize("case", ["noise", "jpeg", "bayer", "dual"])
def test_scale_1_only(folders, case):
    kind, options = options_of(case, folders)
    if case == "dual":  # any scale, in principle
        assert not kind.needs_scale_1
        return
    with pytest.raises(
        UserError, match=f"^type: is {kind.__name__}, which knows scale 1 only, but scale is 2"
    ):
        kind(block(kind, **options) | {"scale": 2})


# -- pictures that are odd, one at a time


ALONE = ["noise", "jpeg", "bayer", "bicubic"]  # their pictures are GT's


def replaced(folder, file, content):
    """c.png becomes another file."""
    (folder / "c.png").unlink()
    target = folder / file
    if isinstance(content, np.ndarray):
        save(target, content)
    else:
        target.write_bytes(content)
    return target


def gt_in_training_and_test(case, folders, **more):
    """GT of the odd picture: whole, and in a training patch."""
    whole = open_case(case, folders, **more)[2]["gt"]
    patch = open_case(case, folders, "train", **{"gt_size": 9} | more)[2]["gt"]
    assert patch.shape == (len(whole), *[more.get("gt_size", 9)] * 2)
    return whole


def is_shown_as(whole, pixels, scale):
    h, w = (length // scale * scale for length in pixels.shape[:2])
    assert torch.equal(whole, as_tensor(pixels[:h, :w]))


ODD_FILES = {
    "16 bits": ("c.png", random_pixels(37, 17, dtype=np.uint16)),
    "16 bits TIFF": ("c.tif", random_pixels(37, 17, dtype=np.uint16)),
    "alpha": ("c.png", random_pixels(37, 17, 4)),
    "16 bits and alpha": ("c.png", random_pixels(37, 17, 4, np.uint16)),
    "gray": ("c.png", random_pixels(37, 17, 1)),
    "gray of 16 bits": ("c.png", random_pixels(37, 17, 1, np.uint16)),
    "gray JPEG": ("c.JPEG", random_pixels(37, 17, 1)),
    "Unicode and a space": ("c ü 雨.PNG", random_pixels(37, 17)),
    "WebP": ("c.webp", random_pixels(37, 17)),
}


@pytest.mark.parametrize("case", ALONE)
@pytest.mark.parametrize("file, pixels", ODD_FILES.values(), ids=ODD_FILES)
def test_odd_files_are_read_as_opencv_reads_colour(folders, case, file, pixels):
    target = replaced(folders / "gt", file, pixels)
    color = {"color": "rgb"} if case == "jpeg" else {}
    expected = cv2.imdecode(np.fromfile(target, np.uint8), cv2.IMREAD_COLOR)
    assert expected.shape == (37, 17, 3) and expected.dtype == np.uint8
    is_shown_as(gt_in_training_and_test(case, folders, **color), expected, 3 if case == "bicubic" else 1)


@pytest.mark.parametrize("file, pixels", ODD_FILES.values(), ids=ODD_FILES)
def test_odd_files_among_pairs(folders, file, pixels):
    gt = replaced(folders / "gt", file, pixels)
    lq = replaced(folders / "lq", file, pixels)
    item = open_case("paired", folders)[2]
    for key, target in (("gt", gt), ("lq", lq)):
        assert torch.equal(
            item[key], as_tensor(cv2.imdecode(np.fromfile(target, np.uint8), cv2.IMREAD_COLOR))
        )


@pytest.mark.parametrize("name", ["alpha", "16 bits", "16 bits and alpha", "gray", "gray of 16 bits"])
@pytest.mark.parametrize("codec", ["png", "raw"])
@pytest.mark.parametrize("color", ["rgb", "gray", "y"])
def test_odd_files_are_the_same_from_an_lmdb(folders, name, codec, color):
    replaced(folders / "gt", *ODD_FILES[name])
    kind, options = options_of("noise", folders)
    options = block(kind, color=color, **options)
    from_disk, from_lmdb = kind(options)[2], kind(packed(options, codec))[2]
    assert torch.equal(from_disk["gt"], from_lmdb["gt"])
    assert torch.equal(from_disk["lq"], from_lmdb["lq"])


def test_cmyk_is_turned_into_colour(folders):
    picture = cv2.GaussianBlur(random_pixels(37, 17), (0, 0), 3)[..., ::-1]
    Image.fromarray(picture).convert("CMYK").save(folders / "gt/c.jpg", quality=98)
    (folders / "gt/c.png").unlink()
    whole = gt_in_training_and_test("noise", folders)
    with Image.open(folders / "gt/c.jpg") as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1) / 255
    assert np.abs(whole.numpy() - expected).max() < 3.5 / 255


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photograph_is_turned_upright(folders, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = cv2.GaussianBlur(random_pixels(37, 17), (0, 0), 3)
    (folders / "gt/c.png").unlink()
    Image.fromarray(pixels).save(folders / "gt/c.jpg", quality=100, exif=exif)
    whole = gt_in_training_and_test("noise", folders)
    assert torch.equal(whole, as_tensor(cv2.imread(str(folders / "gt/c.jpg"))))
    assert whole.shape[1:] == ((37, 17) if orientation < 5 else (17, 37))


@pytest.mark.parametrize("case", ["paired", *sorted(set(ALONE) - {"bicubic"})])
def test_one_pixel(folders, case):
    for folder in ("gt", "lq"):
        replaced(folders / folder, "c.png", random_pixels(1, 1, seed=3))
    whole = gt_in_training_and_test(case, folders, **{"color": "rgb"} if case != "bayer" else {})
    assert whole.shape == (3, 1, 1)
    item = open_case(case, folders, "train")[2]
    assert item["gt"].shape[1:] == item["lq"].shape[1:] == (4, 4)
    assert (item["gt"] == item["gt"][:, :1, :1]).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 17), (37, 2)])
@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_gt_smaller_than_the_scale_is_named(folders, size, phase):
    replaced(folders / "gt", "c.png", random_pixels(*size))
    kind, options = options_of("bicubic", folders)
    message = refused(kind, phase, **options)
    assert f"dataroot_gt: 1 of 3 images are smaller than scale 3: c.png ({size[0]}x{size[1]})" in message
    with pytest.raises(UserError, match=r"gt/c.png: \d+x\d+ is smaller than scale 3; remove it"):
        kind(block(kind, phase, **options))[2]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("spoil, says", [(lambda data: b"", "empty"), (lambda data: data[:300], "trunc")])
def test_broken_files_are_named(folders, case, spoil, says):
    kind, options = options_of(case, folders)
    folder = folders / ("gt16" if case == "dual" else "gt")
    replaced(folder, "c.png", spoil((folder / "c.png").read_bytes()))
    message = refused(kind, **options)
    assert (
        message.startswith("datasets:x:")
        and f"1 of 3 images in {folder} are broken: c.png ({says}" in message
    )
    with pytest.raises(UserError, match=r"c.png .* is truncated or no image"):
        kind(block(kind, **options))[2]


@pytest.mark.parametrize("case", CASES)
def test_a_link_that_leads_nowhere_is_named(folders, case):
    kind, options = options_of(case, folders)
    folder = folders / ("gt16" if case == "dual" else "gt")
    (folder / "c.png").unlink()
    (folder / "c.png").symlink_to(folder / "nowhere.png")
    assert "c.png (no such file or directory)" in refused(kind, **options)


@pytest.mark.parametrize("case", ALONE)
def test_an_empty_or_missing_folder_is_named(folders, case):
    kind, options = options_of(case, folders)
    shutil.rmtree(folders / "gt")
    assert refused(kind, **options).startswith("datasets:x:dataroot_gt: ")
    (folders / "gt").mkdir()
    (folders / "gt/notes.txt").write_text("no picture")
    assert refused(kind, **options) == (
        f"datasets:x:dataroot_gt: {folders}/gt holds no pictures; name the folder that does"
    )


@pytest.mark.parametrize(
    "codec, says", [("png", "truncated or no image"), ("raw", "truncated; make the LMDB")]
)
def test_a_value_that_is_not_whole_is_named(folders, codec, says):
    kind, options = options_of("noise", folders, codec)
    with lmdb.open(options["dataroot_gt"]) as environment, environment.begin(write=True) as writing:
        writing.put(b"b", writing.get(b"b")[:300])
    with pytest.raises(UserError, match=rf"^key 'b' of the LMDB {options['dataroot_gt']} .*{says}"):
        kind(block(kind, **options))[1]


def test_pictures_in_folders_are_told_apart(folders):
    shutil.move(folders / "gt/a.png", folders / "gt/b.png.d")
    (folders / "gt/indoor").mkdir()
    shutil.move(folders / "gt/b.png.d", folders / "gt/indoor/a.png")
    dataset = open_case("noise", folders)
    assert dataset.groups == ["", "", "indoor"]
    assert [item["name"] for item in dataset] == ["b", "c", "indoor/a"]


def test_a_name_that_is_no_text_has_its_noise_too(tmp_path):
    """As Linux allows: a byte that is no UTF-8."""
    save(tmp_path / "a.png", random_pixels(11, 13))
    (tmp_path / "gt").mkdir()
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/gt/\xff.png")
    options = block(GaussianNoiseDataset, dataroot_gt=str(tmp_path / "gt"), sigma=25)
    first, again = (GaussianNoiseDataset(options)[0]["lq"] for _ in range(2))
    assert torch.equal(first, again)


def test_validation_compares_the_checksum_of_raw_pixels(tmp_path):
    save(tmp_path / "gt/a.png", random_pixels(71, 73))
    options = packed({"dataroot_gt": str(tmp_path / "gt")}, "raw") | {"sigma": 0}
    data = tmp_path / "gt.raw.lmdb/data.mdb"
    content = bytearray(data.read_bytes())
    content[content.index(raw_values.MAGIC) + 5000] ^= 1
    data.write_bytes(content)
    GaussianNoiseDataset(block(GaussianNoiseDataset, "train", **options))[0]
    with pytest.raises(UserError, match=r"key .a. of the LMDB .* is damaged; make the LMDB again"):
        GaussianNoiseDataset(block(GaussianNoiseDataset, **options))[0]
