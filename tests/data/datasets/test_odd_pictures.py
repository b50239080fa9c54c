"""Every dataset on pictures that are odd, one at a time."""

import shutil

import cv2
import lmdb
import numpy as np
import pytest
import torch
from dataset_cases import CASES, open_case, options_of
from picture_sets import (
    as_tensor,
    block,
    packed,
    random_pixels,
    refused,
    save,
)
from PIL import Image

from ir_plugins.runtime.errors import UserError

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
