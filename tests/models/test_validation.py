"""Validation against BasicSR's own, and what it leaves behind."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_model import NETWORK, batches, small_model, train_on
from tiny import write_pairs

from ir_plugins.models.samples import strip
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.runtime.randomness import random_state
from ir_plugins.training.loaders import validation_loaders

from basicsr.models.sr_model import SRModel
from basicsr.utils import imwrite
from basicsr.utils.registry import METRIC_REGISTRY

METRICS = {
    "psnr": {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True},
    "ssim": {"type": "calculate_ssim", "crop_border": 0},
    "blind": {"type": "brightness", "better": "lower"},
}


BLIND = {"blind": METRICS["blind"]}


FOLDER = Path("experiments/tiny/visualization")


SIZES = [(9, 11), (13, 8), (8, 15), (11, 10), (8, 9)]


def brightness(img, **arguments):
    """A metric that needs no GT."""
    return img.mean() / 7


@pytest.fixture
def data(small, monkeypatch):
    monkeypatch.setitem(METRIC_REGISTRY._obj_map, "brightness", brightness)
    write_pairs(small / "data/val", SIZES)
    return small / "data/val"


def model(metrics=None, *, blind=False, phase="train", **options):
    """A model, and the loader of its validation set, which has GT unless it is blind."""
    found = small_model(**options)
    found.opt["val"]["metrics"] = {"psnr": METRICS["psnr"]} if metrics is None else metrics
    if blind:
        found.opt["datasets"]["val"] |= {"type": "SingleImageDataset", "dataroot_lq": "data/val/lq"}
    if phase == "test":
        found.is_train = found.opt["is_train"] = False
    return found, validation_loaders(found.opt)[0]


class Board:
    """A tb_logger that remembers."""

    def __init__(self):
        self.scalars, self.images = [], []

    def add_scalar(self, *arguments):
        self.scalars.append(arguments)

    def add_image(self, tag, picture, step, dataformats):
        self.images.append((tag, picture, step, dataformats))


def saved(folder=FOLDER):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_it_measures_and_saves_what_basicsr_does(data, ema_decay, blind):
    net, loader = model(BLIND if blind else METRICS, blind=blind, ema_decay=ema_decay)
    if not blind:
        train_on(net, batches(3))
    board, theirs = Board(), Board()
    SRModel.nondist_validation(net, loader, 17, theirs, save_img=True)
    expected, best = net.metric_results, net.best_metric_results
    pictures = {name: (FOLDER / name).read_bytes() for name in saved()}
    decoded = {name: cv2.imread(str(FOLDER / name)) for name in saved()}
    assert len(pictures) == 5 and "3/3_17.png" in pictures
    for path in FOLDER.rglob("*.png"):
        path.unlink()
    del net.metric_results, net.best_metric_results
    assert net.validation(loader, 17, board, save_img=True).means == expected
    assert net.metric_results == expected and net.best_metric_results == best  # to the last digit
    assert board.scalars == theirs.scalars and len(board.scalars) == len(expected)
    assert saved() == sorted(pictures)
    assert all(np.array_equal(cv2.imread(str(FOLDER / name)), decoded[name]) for name in decoded)


def test_the_log_is_that_of_basicsr(data, messages):
    net, loader = model(METRICS)
    told = []
    for validate in (SRModel.nondist_validation, type(net).validation):
        messages.clear()
        validate(net, loader, 17, None, False)
        told.append([text for text in messages if "# psnr" in text])
    assert told[0] == told[1] and len(told[0]) == 1 and "Best" in told[0][0]


@pytest.mark.parametrize("suffix", [None, "odd"])
def test_a_test_names_pictures_after_itself(data, suffix):
    net, loader = model(phase="test")
    net.opt["val"]["suffix"] = suffix
    SRModel.nondist_validation(net, loader, "tiny", None, save_img=True)
    names = saved()
    assert f"val/3_{suffix or 'tiny'}.png" in names
    for path in FOLDER.rglob("*.png"):
        path.unlink()
    net.validation(loader, "tiny", None, save_img=True)
    assert saved() == names


def test_without_metrics_pictures_are_restored_all_the_same(data, messages):
    net, loader = model({})
    assert net.validation(loader, 3, None, save_img=True).means == {}
    assert len(saved()) == 5 and not hasattr(net, "metric_results")
    assert not any("Validation" in text for text in messages)


@pytest.mark.parametrize("save_img", [True, False])
def test_pictures_are_saved_if_asked_for(data, save_img):
    net, loader = model()
    net.validation(loader, 3, None, save_img)
    assert len(saved()) == 5 * save_img


def test_random_numbers_and_the_training_go_on_as_if_nothing_had_been(data):
    (plain, _), (net, loader) = model(), model()
    train_on(plain, batches(2))
    train_on(net, batches(2)[:1])
    torch.set_printoptions(threshold=100_000)
    before = str(random_state())
    net.test = lambda test=net.test: (random.random(), np.random.rand(), torch.rand(1), test())
    net.validation(loader, 1, None)
    assert str(random_state()) == before and net.net_g.training
    torch.set_printoptions(profile="default")
    train_on(net, batches(2)[1:], first=2)
    for ours, theirs in zip(net.net_g.parameters(), plain.net_g.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_norm_does_not_learn_from_it(data):
    net, loader = model(network=NETWORK | {"norm": True})
    before = {name: value.clone() for name, value in net.net_g.state_dict().items()}
    net.validation(loader, 1, None)
    assert all(torch.equal(value, before[name]) for name, value in net.net_g.state_dict().items())


def test_gt_of_the_training_is_not_taken_for_a_picture_s(data):
    net, loader = model(BLIND, blind=True)
    train_on(net, batches(1))
    given = []
    net.measured = lambda visuals, measured=net.measured: given.append(set(visuals)) or measured(visuals)
    found = net.validation(loader, 1, None)
    assert given == [{"lq", "result"}] * 10  # each result and each input
    assert [sample.gt for sample in found.samples] == [None] * 3


def test_no_picture_is_held_on_to(data):
    net, loader = model()
    train_on(net, batches(1))
    net.validation(loader, 1, None)
    assert not {"lq", "gt", "output"} & set(vars(net))
    train_on(net, batches(1), first=2)


def test_a_few_samples_of_each_set_are_kept_in_rgb(data):
    net, _ = model(METRICS, ema_decay=0.5)
    second = net.opt["datasets"]["val"] | {"name": "second"}
    net.opt["datasets"]["val_2"] = second
    found = [net.validation(one, 5, None, save_img=True) for one in validation_loaders(net.opt)]
    assert [(one.dataset, [s.name for s in one.samples]) for one in found] == [
        ("val", ["0", "1", "2"]),
        ("second", ["0", "1", "2"]),
    ]
    for sample in found[0].samples:
        for picture, file in (
            (sample.lq, data / f"lq/{sample.name}.png"),
            (sample.gt, data / f"gt/{sample.name}.png"),
            (sample.result, FOLDER / sample.name / f"{sample.name}_5.png"),
        ):
            assert np.array_equal(picture, cv2.imread(str(file))[..., ::-1]) and picture.dtype == np.uint8


def test_a_smaller_set_has_fewer_samples(small):
    write_pairs(small / "data/val", SIZES[:2])
    net, loader = model()
    for _ in range(2):
        assert len(net.validation(loader, 1, None).samples) == 2


def test_tensorboard_is_shown_numbers_and_pictures(data):
    net, loader = model(METRICS)
    board = Board()
    found = net.validation(loader, 17, board)
    assert board.scalars == [(f"metrics/val/{name}", value, 17) for name, value in net.metric_results.items()]
    assert [(tag, step, layout) for tag, _, step, layout in board.images] == [
        (f"val/{n}", 17, "HWC") for n in range(3)
    ]
    for sample, (_, picture, _, _) in zip(found.samples, board.images, strict=True):
        assert np.array_equal(picture, strip(sample))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_bar_is_there_if_asked_for(data, wanted, capsys):
    net, loader = model()
    net.opt["val"]["pbar"] = wanted
    capsys.readouterr()
    net.validation(loader, 1, None)
    assert ("5/5" in capsys.readouterr().err) == wanted


def refuse(picture, monkeypatch):
    """Let no picture of that name be written."""
    real = open

    def opened(path, *arguments, **keywords):
        if picture in str(path) and "wb" in arguments:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **keywords)

    monkeypatch.setattr("builtins.open", opened)


def test_while_training_a_full_disk_costs_the_picture_alone(data, monkeypatch, messages):
    net, loader = model()
    refuse("2_7.png", monkeypatch)
    found = net.validation(loader, 7, None, save_img=True)
    assert saved() == [f"{n}/{n}_7.png" for n in (0, 1, 3, 4)]
    warnings = [text for text in messages if text.startswith("WARNING")]
    assert len(warnings) == 1
    assert warnings[0].endswith("2/2_7.png: not saved: No space left on device; training continues")
    assert len(found.samples) == 3 and net.metric_results["psnr"] > 0


def test_a_test_without_its_pictures_fails(data, monkeypatch):
    net, loader = model(phase="test")
    refuse("2_tiny.png", monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        net.validation(loader, "tiny", None, save_img=True)
    assert saved() == ["val/0_tiny.png", "val/1_tiny.png"]


def test_pictures_are_those_that_basicsr_writes(data):
    net, loader = model(network=NETWORK | {"width": 3})
    net.validation(loader, 1, None, save_img=True)
    picture = cv2.imread(str(FOLDER / "0/0_1.png"))
    imwrite(picture, "a.png")
    assert Path("a.png").read_bytes() == (FOLDER / "0/0_1.png").read_bytes()


@pytest.mark.parametrize("phase", ["train", "test"])
def test_pictures_of_16_bits(data, phase):
    net, loader = model(phase=phase)
    net.opt["val"]["bits"] = 16
    given = []
    net.measured = lambda visuals, measured=net.measured: given.append(measured(visuals)) or given[-1]
    net.validation(loader, 7, None, save_img=True)
    for number, pictures in enumerate(given[::2]):  # the others are the inputs
        path = FOLDER / (f"{number}/{number}_7.png" if phase == "train" else f"val/{number}_tiny.png")
        saved = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert saved.dtype == np.uint16 and np.array_equal(pictures["img"], saved / 257)
        gt = cv2.imread(str(data / f"gt/{number}.png"))
        assert np.abs(pictures["img2"] - gt).max() < 1e-9 and pictures["img"].max() <= 255


def test_while_training_nothing_is_timed(data):
    net, loader = model()
    found = net.validation(loader, 1, None).pictures
    assert [(one.seconds, one.peak_bytes, one.fault) for one in found] == [(None, None, "")] * 5
    net, loader = model(phase="test")
    assert all(one.seconds > 0 for one in net.validation(loader, "tiny", None).pictures)


def spoil(net, *numbers, by=torch.nan):
    """Let a value stand in the outputs of the pictures of those numbers."""
    calls, test = [], net.test

    def spoiled():
        test()
        net.output = net.output.clone()
        if len(calls) in numbers:
            net.output[..., 1, 2] = by
        calls.append(None)

    net.test = spoiled


@pytest.mark.parametrize("by", [torch.nan, torch.inf])
def test_weights_that_fail_on_a_picture_are_not_the_best(data, messages, by):
    net, loader = model(METRICS)
    spoil(net, 1, 3, by=by)
    net.validation(loader, 1, None, save_img=True)
    assert all(np.isnan(value) for value in net.metric_results.values())
    assert [text for text in messages if text.startswith("WARNING")] == [
        "WARNING val: picture 1: the network's output is not finite (and 1 more picture); training continues"
    ]
    assert not Path("experiments/tiny/models/net_g_best.pth").exists() and len(saved()) == 5
    net, loader = model(METRICS)
    net.validation(loader, 2, None)
    assert Path("experiments/tiny/models/net_g_best.pth").exists()


def test_while_training_a_metric_that_refuses_a_picture_is_reported_and_left_out(data, monkeypatch, messages):
    def refuses(img, img2):
        if img.shape[0] == 26:
            raise ValueError("too high")
        return float(img.shape[0])

    monkeypatch.setitem(METRIC_REGISTRY._obj_map, "refuses", refuses)
    net, loader = model({"height": {"type": "refuses"}, "psnr": METRICS["psnr"]})
    net.validation(loader, 1, None)
    heights = [2 * h for h, _ in SIZES if h != 13]
    assert net.metric_results["height"] == sum(heights) / 4 and net.metric_results["psnr"] > 0
    assert [text for text in messages if text.startswith("WARNING")] == [
        "WARNING val: picture 1: val:metrics:height: too high; training continues"
    ]
    assert net.best_metric_results["val"]["height"]["iter"] == 1


def test_a_picture_like_its_gt_does_not_make_the_mean_infinite(data, messages):
    net, loader = model(METRICS)
    found = net.validation(loader, 1, None, save_img=True)
    values = [one.metrics["psnr"] for one in found.pictures]
    (data / "gt/2.png").write_bytes((FOLDER / "2/2_1.png").read_bytes())
    messages.clear()
    net.validation(loader, 2, None)
    expected = sum(value for number, value in enumerate(values) if number != 2) / 4
    assert net.metric_results["psnr"] == pytest.approx(expected, abs=1e-12)
    assert "INFO val: psnr is infinite on 1 of 5 pictures, the first of them 2" in messages


def test_a_set_without_gt_has_the_measures_that_need_none(data, messages):
    net, loader = model(METRICS, blind=True)
    net.validation(loader, 1, None)
    assert set(net.metric_results) == {"blind"}
    net, loader = model({"psnr": METRICS["psnr"]}, blind=True)
    messages.clear()
    found = net.validation(loader, 1, None)
    assert net.metric_results == found.means == {} and not messages
    assert [one.metrics for one in found.pictures] == [{}] * 5


def test_pictures_of_one_stem_in_two_folders_are_both_saved(data):
    for kind in ("lq", "gt"):
        for number, folder in enumerate("ab"):
            (data / kind / folder).mkdir()
            (data / kind / f"{number}.png").rename(data / kind / folder / "1.png")
        for number in range(2, 5):
            (data / kind / f"{number}.png").unlink()
        write_lmdb(str(data / kind), f"data/{kind}.lmdb")
    for phase, expected in (
        ("train", ["a/1/1_3.png", "b/1/1_3.png"]),
        ("test", ["val/a/1_tiny.png", "val/b/1_tiny.png"]),
    ):
        net, _ = model(phase=phase)
        lmdb = {"dataroot_gt": "data/gt.lmdb", "dataroot_lq": "data/lq.lmdb", "io_backend": {"type": "lmdb"}}
        net.opt["datasets"]["val"] |= lmdb
        for path in FOLDER.rglob("*.png"):
            path.unlink()
        found = net.validation(validation_loaders(net.opt)[0], 3, None, save_img=True)
        assert saved() == expected
        assert [one.image for one in found.pictures] == ["a/1", "b/1"]
