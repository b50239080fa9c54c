"""Structural similarity, in the variants that published tables use."""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from ..runtime.arguments import check_choice, check_side
from .pictures import Channels, Picture, Planes, planes
from .registering import metric

SIDE, SIGMA = 11, 1.5  # of the gaussian window
UNIFORM = 7  # the side of scikit-image's
K1, K2 = 0.01, 0.03
Blur = Callable[[Planes], Planes]
Mode = Literal["per_channel", "matlab3d", "zero_padded", "skimage"]


@metric()
def ssim(
    img: Picture,
    img2: Picture,
    *,
    crop_border: int = 0,
    channels: Channels = "rgb",
    mode: Mode = "per_channel",
    data_range: float = 255.0,
    round_luma: bool = False,
) -> float:
    """Structural similarity, the mean over windows and channels (Wang et al. 2004, eq. 13).

    Windows are gaussians of 11 pixels with sigma 1.5, except skimage's; K1 = 0.01 and K2 = 0.03.

    - per_channel: windows lie wholly inside the picture, as in Wang's script and BasicSR's calculate_ssim.
    - matlab3d: MATLAB's ssim(A, ref) of an (H, W, 3) array, which it takes for a volume: the gaussian runs
      across the channels too, and edge values repeat outside, along all three axes, so that there is a value
      for every pixel.  Higher than per_channel, by 0.01 on GoPro and 0.04 on SIDD.  A picture of one channel
      is measured as MATLAB does it, in two dimensions.
    - zero_padded: a window for every pixel, black outside, as in GRL's evaluation; edges of bright pictures
      count as alike.
    - skimage: scikit-image's default, a uniform window of 7x7 inside the picture and sample covariances.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        crop_border: Pixels at each edge that are not measured.
        channels: rgb; y, luma as MATLAB's rgb2ycbcr; gray, as its rgb2gray.
        mode: One of the four ways above.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.
        round_luma: Round luma to 256 levels before it is compared.

    Raises:
        UserError: Shapes differ, or the picture is smaller than a window that must lie in it.
    """
    check_choice("mode", mode, MODES)
    x, y = planes(
        img,
        img2,
        crop_border=crop_border,
        channels=channels,
        data_range=data_range,
        round_luma=round_luma,
    )
    return float(MODES[mode](x, y, data_range).mean())


def gaussian_map(x: Planes, y: Planes, data_range: float) -> Planes:
    """SSIM of every gaussian window inside the picture, (h - 10, w - 10, C).

    Args:
        x: (h, w, C).
        y: (h, w, C).
        data_range: The value of white.

    Raises:
        UserError: h or w is below 11.
    """
    check_side(*x.shape[:2], SIDE, "lower crop_border, or take mode: matlab3d")
    return similarity(x, y, data_range, lambda p: _inside(_gaussian(p, cv2.BORDER_REFLECT), SIDE))


def similarity(x: Planes, y: Planes, data_range: float, blur: Blur, bias: float = 1.0) -> Planes:
    """SSIM of each window.

        (2 μx μy + C1) (2 cov + C2) / ((μx² + μy² + C1) (var x + var y + C2))

    Args:
        x: (h, w, C).
        y: (h, w, C).
        data_range: The value of white.
        blur: Makes the mean of each window of a picture.
        bias: Factor of variances and covariances.
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y = blur(x), blur(y)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    covariance = bias * (blur(x * y) - product)
    variances = bias * (blur(x * x + y * y) - squares)
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _matlab3d(x: Planes, y: Planes, data_range: float) -> Planes:
    across = _across_channels(x.shape[2])
    return similarity(x, y, data_range, lambda p: _gaussian(p, cv2.BORDER_REPLICATE) @ across)


def _zero_padded(x: Planes, y: Planes, data_range: float) -> Planes:
    return similarity(x, y, data_range, lambda p: _gaussian(p, cv2.BORDER_CONSTANT))


def _skimage(x: Planes, y: Planes, data_range: float) -> Planes:
    check_side(*x.shape[:2], UNIFORM, "lower crop_border, or take mode: matlab3d")
    size, count = (UNIFORM, UNIFORM), UNIFORM * UNIFORM

    def blur(p: Planes) -> Planes:
        return _inside(cv2.boxFilter(p, -1, size).reshape(p.shape), UNIFORM)

    return similarity(x, y, data_range, blur, bias=count / (count - 1))


MODES: dict[str, Callable[[Planes, Planes, float], Planes]] = {
    "per_channel": gaussian_map,
    "matlab3d": _matlab3d,
    "zero_padded": _zero_padded,
    "skimage": _skimage,
}


def _window() -> np.ndarray:
    """The gaussian along one axis: (11, 1), its sum 1."""
    return cv2.getGaussianKernel(SIDE, SIGMA, cv2.CV_64F)


def _gaussian(p: Planes, border: int) -> Planes:
    """(h, w, C) -> same."""
    # OpenCV drops the axis of a single channel
    return cv2.sepFilter2D(p, -1, _window(), _window(), borderType=border).reshape(p.shape)


def _across_channels(count: int) -> np.ndarray:
    """(C, C): the share of channel i in the gaussian around channel j; the first and last repeat outside."""
    shares = np.zeros((count, count))
    if count == 1:
        return np.ones((1, 1))  # a picture, not a volume; the sum of the window either way
    for j in range(count):
        for offset, weight in zip(range(-(SIDE // 2), SIDE // 2 + 1), _window().ravel(), strict=True):
            shares[min(max(j + offset, 0), count - 1), j] += weight
    return shares


def _inside(p: Planes, side: int) -> Planes:
    """The values of windows of that side that lie wholly inside the picture."""
    edge = side // 2
    return p[edge : p.shape[0] - edge, edge : p.shape[1] - edge]
