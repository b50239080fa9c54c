import cv2
import numpy as np
import pytest
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio

from ir_plugins.metrics import mae, pixels, psnr
from ir_plugins.runtime.errors import UserError

from basicsr.metrics import calculate_metric, calculate_psnr


def pair(*shape, dtype=np.uint8):
    """A result and GT, in 0..255, both full of edges, and of the extremes."""
    gt = np.random.default_rng(0).integers(0, 256, shape)
    result = np.clip(gt + np.random.default_rng(1).normal(0, 11, shape), 0, 255)
    return (result.round().astype(dtype) if dtype == np.uint8 else result.astype(dtype)), gt.astype(dtype)


@pytest.fixture(autouse=True)
def nothing_noted():
    pixels._note_cap.cache_clear()


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (13, 19), (13, 19, 1), (13, 19, 3), (7, 11, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_psnr_is_scikit_images(shape, dtype):
    result, gt = pair(*shape, dtype=dtype)
    wanted = peak_signal_noise_ratio(gt.astype(float), result.astype(float), data_range=255)
    assert psnr(result, gt) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("luma", [False, True])
@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("shape", [(23, 37), (97, 101, 3)])
def test_psnr_is_basicsrs(shape, border, luma):
    result, gt = pair(*shape)
    wanted = calculate_psnr(result, gt, crop_border=border, test_y_channel=luma)
    found = psnr(result, gt, crop_border=border, channels="y" if luma else "rgb")
    assert found == pytest.approx(wanted, abs=1e-6)


def test_y_is_matlabs_and_rounded_where_asked_for():
    result, gt = pair(31, 41, 3)
    # MATLAB's rgb2ycbcr([0 0 0; 255 255 255; 255 0 0]) of uint8 has Y = 16, 235, 81
    known = np.array([[[0, 0, 0], [255, 255, 255], [0, 0, 255]]], np.uint8)
    for pixel, y in zip(known[0], (16, 235, 81), strict=True):
        one = pixel[None, None]
        error = psnr(one, np.zeros_like(one), channels="y", round_luma=True)
        assert y == 16 or error == pytest.approx(20 * np.log10(255 / (y - 16)), abs=1e-9)
    luma = [np.round(color.rgb2ycbcr(p[..., ::-1])[..., 0]) for p in (result, gt)]
    wanted = peak_signal_noise_ratio(luma[1], luma[0], data_range=255)
    assert psnr(result, gt, channels="y", round_luma=True) == pytest.approx(wanted, abs=1e-9)
    assert psnr(result, gt, channels="y") != pytest.approx(wanted, abs=1e-4)


def test_gray_is_opencvs():
    result, gt = pair(31, 41, 3)
    wanted = cv2.PSNR(*(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (result, gt)))
    assert psnr(result, gt, channels="gray", round_luma=True) == pytest.approx(wanted, abs=1e-2)
    exact = [p.astype(np.float32) for p in (result, gt)]
    wanted = cv2.PSNR(*(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in exact))
    assert psnr(*exact, channels="gray") == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("channels", ["rgb", "y", "gray"])
def test_a_gray_picture_is_measured_as_it_is(channels):
    result, gt = pair(13, 19)
    wanted = peak_signal_noise_ratio(gt, result)
    assert psnr(result, gt[..., None], channels=channels) == pytest.approx(wanted, abs=1e-9)


def test_round_luma_rounds_exact_pictures():
    result, gt = pair(13, 19, dtype=np.float64)
    wanted = peak_signal_noise_ratio(gt, np.round(result), data_range=255)
    assert psnr(result, gt, channels="gray", round_luma=True) == pytest.approx(wanted, abs=1e-9)


def test_what_overshoots_is_clamped():
    result, gt = pair(13, 19, 3, dtype=np.float64)
    result[result == 255] = 3000
    result[0, 0] = -70
    assert psnr(result, gt) == psnr(result.clip(0, 255), gt)
    assert mae(result, gt) == mae(result.clip(0, 255), gt)


@pytest.mark.parametrize("channels, rounded", [("rgb", False), ("y", True), ("gray", True)])
@pytest.mark.parametrize("white", [1.0, 65535.0])
def test_data_range_is_the_value_of_white(channels, rounded, white):
    result, gt = pair(13, 19, 3)
    wanted = psnr(result, gt, channels=channels, round_luma=rounded)
    scaled = [p * (white / 255) for p in (result, gt)]
    found = psnr(*scaled, channels=channels, round_luma=rounded, data_range=white)
    assert found == pytest.approx(wanted, abs=1e-9)
    assert mae(*scaled, data_range=white) == pytest.approx(mae(result, gt), abs=1e-12)


def test_equal_pictures_count_as_a_cap_with_one_note(messages):
    _, gt = pair(13, 19, 3)
    assert psnr(gt, gt) == psnr(gt, gt) == psnr(gt + 1e-4, gt + 0.0) == pixels.CAP == 100
    (line,) = messages
    assert line.startswith("INFO PSNR: a result equals its GT and counts as 100 dB")


def test_one_level_of_one_pixel_is_below_the_cap(messages):
    gt = np.zeros((1000, 100), np.uint8)
    result = gt.copy()
    result[3, 5] = 1
    assert psnr(result, gt) == pytest.approx(98.13, abs=0.01) and not messages


def test_what_is_no_number_stays_none():
    assert np.isnan(psnr(np.full((3, 5), np.nan), np.zeros((3, 5))))


@pytest.mark.parametrize("border", [0, 2])
def test_mae_is_the_mean_in_0_to_1(border):
    result, gt = pair(13, 19, 3)
    inner = [p[border : 13 - border, border : 19 - border].astype(float) / 255 for p in (result, gt)]
    assert mae(result, gt, crop_border=border) == pytest.approx(np.abs(inner[0] - inner[1]).mean(), abs=1e-12)


def test_tensors_in_any_order_of_memory():
    result, gt = pair(3, 13, 19)
    views = [p.transpose(1, 2, 0) for p in (result, gt)]
    assert psnr(*views, channels="y") == psnr(*(v.copy() for v in views), channels="y")


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"crop_border": -1}, "psnr: crop_border=-1 must be 0 or more"),
        ({"crop_border": 6}, "psnr: crop_border=6 leaves nothing of 12x17 pixels; lower it"),
        ({"channels": "Y"}, "psnr: channels='Y' is not one of rgb, y, gray"),
        ({"data_range": 0}, "psnr: data_range=0 must be above 0"),
        ({"data_range": float("nan")}, "psnr: data_range=nan must be above 0"),
        ({"round_luma": True}, "psnr: round_luma rounds luma; set channels: y or gray"),
    ],
)
def test_arguments_that_cannot_work_are_reported(arguments, says):
    with pytest.raises(UserError) as told:
        psnr(*pair(12, 17, 3), **arguments)
    assert str(told.value).startswith(says) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "shapes, says",
    [
        (((5, 7, 3), (5, 7)), r"the result and GT are \[5, 7, 3\] and \[5, 7\]; they must have one height"),
        (((5, 7, 3), (7, 5, 3)), r"are \[5, 7, 3\] and \[7, 5, 3\]"),
        (((5, 7, 4), (5, 7, 4)), "channels='y' is of pictures with 1 or 3 channels, not 4; set it rgb"),
        (((5,), (5,)), r"\[5\] is no picture"),
        (((1, 3, 5, 7), (1, 3, 5, 7)), r"\[1, 3, 5, 7\] is no picture"),
        (((0, 7), (0, 7)), "leaves nothing of 0x7 pixels"),
    ],
)
def test_pictures_that_cannot_work_are_reported(shapes, says):
    with pytest.raises(UserError, match=says):
        psnr(*map(np.zeros, shapes), channels="y")


def test_basicsr_calls_them_by_name_and_passes_better_on():
    result, gt = pair(13, 19, 3)
    found = {"img": result, "img2": gt}
    block = {"type": "psnr", "crop_border": 2, "channels": "y", "better": "higher"}
    assert calculate_metric(found, block) == psnr(result, gt, crop_border=2, channels="y")
    assert calculate_metric(found, {"type": "mae", "better": "lower"}) == mae(result, gt)
    with pytest.raises(TypeError, match="crop_boarder"):
        calculate_metric(found, {"type": "psnr", "crop_boarder": 2})
    with pytest.raises(UserError, match="psnr: compares with GT, which this dataset lacks"):
        calculate_metric({"img": result}, {"type": "psnr"})


def test_they_give_plain_numbers():
    result, gt = pair(13, 19, 3)
    assert type(psnr(result, gt)) is type(mae(result, gt)) is float


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_basicsrs_niqe_works_here(dtype):
    """It tells a blurred photograph from a sharp one; lower is better."""
    sharp = np.ascontiguousarray(data.chelsea()[:, :, ::-1])
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    block = {"type": "calculate_niqe", "crop_border": 0, "better": "lower"}
    values = [calculate_metric({"img": p.astype(dtype)}, block) for p in (sharp, blurred)]
    assert 0 < values[0] < values[1] - 1
