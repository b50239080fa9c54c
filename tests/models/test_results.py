"""Figures of single pictures, and what they come to."""

import math

import numpy as np
import pytest

from ir_plugins.models.results import (
    PictureResult,
    compares,
    first_fault,
    mean,
    means,
    measure,
    not_finite,
    picture_name,
)

from basicsr.metrics import calculate_psnr
from basicsr.utils.registry import METRIC_REGISTRY

INF, NAN = math.inf, math.nan
PSNR = {"type": "calculate_psnr", "crop_border": 1}


def row(image="a", fault="", **metrics):
    return PictureResult("set", "", image, 5, 7, metrics, fault=fault)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1.0, 2.0, 6.0], 3.0),
        ([1.0, INF, 3.0], 2.0),
        ([NAN, 1.0, -INF, 4.0], 2.5),
        ([INF, INF], INF),
        ([NAN], NAN),
        ([NAN, INF], NAN),
        ([], NAN),
    ],
)
def test_a_mean_is_of_what_is_finite(values, expected):
    assert mean(iter(values)) == pytest.approx(expected, nan_ok=True)


def test_means_are_of_the_pictures_that_a_metric_was_taken_of():
    pictures = [row(psnr=20.0, ssim=0.5), row(psnr=30.0), row()]
    assert means(pictures, ["ssim", "psnr", "never"]) == {"ssim": 0.5, "psnr": 25.0}


def test_what_is_not_finite_is_counted_and_the_first_is_named():
    pictures = [row("a", psnr=1.0), row("b", psnr=INF, ssim=NAN), row("c", psnr=INF), row("d", psnr=NAN)]
    assert list(not_finite(pictures, ["psnr", "ssim", "never"])) == [
        "set: psnr is infinite on 2 of 4 pictures, the first of them b",
        "set: psnr is not a number on 1 of 4 pictures, the first of them d",
        "set: ssim is not a number on 1 of 1 pictures, the first of them b",
    ]


def test_faults_are_reported_in_one_line():
    assert first_fault([row(), row("b")]) == ""
    assert first_fault([row(), row("b", "too small")]) == "set: picture b: too small"
    assert first_fault([row("b", "x"), row("c", "y")]) == "set: picture b: x (and 1 more picture)"
    assert first_fault([row("b", "x")] * 3).endswith("(and 2 more pictures)")


def test_metrics_are_taken_where_they_can_be(monkeypatch):
    def fails(img, img2, side):
        raise ValueError(f"the picture of {img.shape} is smaller\nthan {side}")

    def blind(img, *, factor, **others):
        return img.mean() * factor

    for name, metric in (("fails", fails), ("blind", blind)):
        monkeypatch.setitem(METRIC_REGISTRY._obj_map, name, metric)
    blocks = {
        "psnr": PSNR,
        "wide": {"type": "fails", "side": 11, "better": "lower"},  # it takes no `better`
        "niqe": {"type": "blind", "factor": 3},
    }
    assert [compares(block) for block in blocks.values()] == [True, True, False]
    a, b = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    values, fault = measure({"img": a, "img2": b}, blocks)
    assert values == {"psnr": calculate_psnr(a, b, 1), "niqe": float(a.mean() * 3)}
    assert fault == "val:metrics:wide: the picture of (9, 7, 3) is smaller"
    assert measure({"img": a}, blocks) == ({"niqe": values["niqe"]}, "")
    values, fault = measure({"img": a, "img2": b[:-1]}, {"psnr": PSNR})
    assert values == {} and fault.startswith("val:metrics:psnr: Image shapes are different")


DISK = {"dataroot_gt": "data/gt", "dataroot_lq": "data/lq", "io_backend": {"type": "disk"}}
LMDB = {
    "dataroot_gt": "data/gt.lmdb",
    "dataroot_lq": "data/lq.lmdb",
    "io_backend": {},
}  # as BasicSR leaves it


@pytest.mark.parametrize(
    "data, opt, name",
    [
        ({"lq_path": "data/lq/0001.png"}, DISK, "0001"),
        ({"lq_path": "data/lq/a.b/c d.ext.PNG"}, DISK, "a.b/c d.ext"),
        ({"lq_path": "data/gt/indoor/0001.tif"}, DISK, "indoor/0001"),  # where LQ is made from GT
        ({"lq_path": "somewhere/else/0001.png"}, DISK, "0001"),
        ({"lq_path": "somewhere/else/0001.png"}, {}, "0001"),
        ({"lq_path": "indoor/0001"}, LMDB, "indoor/0001"),
        ({"lq_path": "v1.5"}, LMDB, "v1.5"),
        ({"lq_path": "data/lq/x.png", "name": "indoor/0001"}, DISK, "indoor/0001"),
        ({"lq_path": "x", "name": "../../etc/./passwd"}, DISK, "etc/passwd"),
        ({"lq_path": "x", "name": "/etc//passwd/"}, DISK, "etc/passwd"),
        ({"lq_path": "x", "name": "..\\..\\a\nb\x00"}, DISK, "a_b_"),
        ({"lq_path": "x", "name": ".. /..."}, DISK, "picture"),
        ({"lq_path": "x", "name": ""}, DISK, "picture"),
        ({"lq_path": "../0001"}, LMDB, "0001"),
        ({"lq_path": "data/lq/Straße 3 é.png"}, DISK, "Straße 3 é"),
    ],
)
def test_a_picture_is_called_by_its_place_and_never_leads_out(data, opt, name):
    assert picture_name({key: [value] for key, value in data.items()}, opt) == name


def test_pictures_that_share_a_name_keep_their_endings(tmp_path):
    """In BasicSR's datasets; the second result overwrote the first."""
    for name in ("a.png", "a.JPG", "b.png"):
        (tmp_path / name).touch()
    opt = {"dataroot_lq": str(tmp_path), "io_backend": {"type": "disk"}}
    found = [picture_name({"lq_path": [f"{tmp_path}/{name}"]}, opt) for name in ("a.png", "a.JPG", "b.png")]
    assert found == ["a.png", "a.JPG", "b"]


def test_whatever_a_metric_raises_is_reported_of_its_picture():
    small = np.zeros((24, 28, 3), np.uint8)
    values, fault = measure({"img": small}, {"m": {"type": "calculate_niqe", "crop_border": 0}})
    assert values == {}
    assert fault.startswith("val:metrics:m: ")
