"""The metrics of the inputs, beside those of the results."""

import cv2
import numpy as np
import pytest
import torch
from small_model import small_model
from tiny import write_pairs

from ir_plugins.data.resize import imresize
from ir_plugins.models.baseline import enlarged, input_name
from ir_plugins.models.results import baseline_means
from ir_plugins.training.loaders import validation_loaders

from basicsr.metrics import calculate_psnr
from basicsr.utils.registry import METRIC_REGISTRY

SIZES = [(9, 11), (13, 8), (8, 15)]
PSNR = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True}


@pytest.fixture
def measured(small, monkeypatch):
    """The pictures that the metric `blind`, which draws random numbers, was asked about."""
    asked = []

    def blind(img, **arguments):
        asked.append(img)
        return float(img.mean()) + np.random.rand()

    monkeypatch.setitem(METRIC_REGISTRY._obj_map, "blind", blind)
    write_pairs(small / "data/val", SIZES)
    return asked


def validate(known=None, *, gt=True, **val):
    net = small_model()
    net.opt["val"] |= {"metrics": {"psnr": PSNR, "blind": {"type": "blind"}}} | val
    if not gt:
        net.opt["datasets"]["val"] |= {"type": "SingleImageDataset", "dataroot_lq": "data/val/lq"}
    net.known_inputs = known
    return net.validation(validation_loaders(net.opt)[0], 1, None).pictures


def test_the_input_is_enlarged_as_the_field_does(measured, messages):
    found = validate()
    for number, one in enumerate(found):
        lq, gt = (cv2.imread(f"data/val/{kind}/{number}.png") for kind in ("lq", "gt"))
        assert one.baseline["psnr"] == calculate_psnr(imresize(lq, 2), gt, 2, test_y_channel=True)
        assert one.enlarged == 2
    mean = baseline_means(found, ["psnr"])["psnr"]
    assert any(f"val's input, bicubic x2: psnr {mean:.4f}, blind" in text for text in messages)


def test_each_input_is_measured_once_and_changes_nothing(measured):
    known: dict = {}
    first = validate(known)
    assert len(measured) == 2 * len(SIZES)
    second = validate(known)
    assert len(measured) == 3 * len(SIZES)
    # `blind` draws, so this fails if the results depend on whether the inputs are measured
    assert [one.metrics for one in first] == [one.metrics for one in second]
    assert [one.baseline for one in first] == [one.baseline for one in second]
    assert [one.enlarged for one in second] == [2] * len(SIZES)


def test_another_metric_or_dataset_is_measured_again(measured):
    known: dict = {}
    validate(known)
    validate(known, metrics={"psnr": PSNR | {"crop_border": 0}, "blind": {"type": "blind"}})
    assert len(measured) == 3 * len(SIZES)  # `blind` is known
    validate(known, bits=16)
    assert len(measured) == 5 * len(SIZES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda known: known.update(val="no"),
        lambda known: known["val"].update(blind=[1.0]),
        lambda known: known["val"]["blind"].update(values=[1.0]),
        lambda known: known["val"]["blind"].update(values=[1.0, "2", torch.ones(1)]),
        lambda known: known["val"]["blind"].update(times="2"),
    ],
)
def test_a_training_state_may_hold_anything(measured, damage):
    known: dict = {}
    first = validate(known)
    damage(known)
    assert validate(known) == first and len(measured) >= 4 * len(SIZES)


def test_without_gt_there_are_the_metrics_that_need_none(measured):
    assert [set(one.baseline) for one in validate(gt=False)] == [{"blind"}] * len(SIZES)


@pytest.mark.parametrize(
    "lq, result", [((1, 4, 6), (3, 8, 12)), ((3, 4, 6), (3, 8, 13)), ((6, 8, 8), (3, 8, 8))]
)
def test_an_input_of_another_kind_has_no_baseline(lq, result):
    assert enlarged({"lq": torch.rand(1, *lq), "result": torch.rand(1, *result)}, 255) is None


def test_an_input_of_the_result_s_size_stays_as_it_is():
    lq = torch.rand(1, 3, 5, 7)
    picture, times = enlarged({"lq": lq, "result": torch.rand(1, 3, 5, 7)}, 255)
    assert picture is lq and times == 1 and input_name(1) == "input"
