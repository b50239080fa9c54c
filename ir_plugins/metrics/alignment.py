"""RealBlur's protocol: another camera took its GT, so brightness and place are matched first."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from basicsr.utils import get_root_logger

from .pictures import LUMA, Picture, Planes, planes
from .pixels import decibels
from .registering import metric
from .similarity import SIDE, gaussian_map

STEPS, BLUR = 100, 5  # ECC's iterations, and the side of the gaussian filter before them
LEAST_SHARE = 0.5  # of the pixels: a motion that leaves fewer is refused


@metric()
def psnr_aligned(img: Picture, img2: Picture, *, data_range: float = 255.0) -> float:
    """PSNR in dB after the result is aligned with GT (RealBlur's tables), over the pixels that it reaches.

    The result is scaled to the brightness of GT, then moved by the homography that ECC finds; `align` says
    how.  Equal pictures count as 100 dB.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.

    Raises:
        UserError: Shapes differ.
    """
    z, x, mask = align(img, img2, data_range)
    mse = float((mask * np.square(z - x)).sum() / (mask.sum() * x.shape[2]))
    return decibels(mse, 1.0)


@metric()
def ssim_aligned(img: Picture, img2: Picture, *, data_range: float = 255.0) -> float:
    """SSIM after the result is aligned with GT (RealBlur's tables), over the pixels that it reaches.

    Both are black where the aligned result does not reach; of gaussian windows inside the picture, those
    around pixels that it reaches are averaged (scikit-image's gaussian SSIM with population covariances).

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        data_range: L, the value of white in the pictures as they are passed: 255 in every validation.

    Raises:
        UserError: Shapes differ, or a side is below 11 pixels.
    """
    z, x, mask = align(img, img2, data_range)
    similar = gaussian_map(z * mask, x * mask, 1.0)  # (h - 10, w - 10, C)
    edge = SIDE // 2
    around = mask[edge:-edge, edge:-edge]
    return float((similar * around).sum() / (around.sum() * x.shape[2]))


def align(img: Picture, img2: Picture, data_range: float = 255.0) -> tuple[Planes, Planes, Planes]:
    """Move the result to where GT's camera would have seen it.

    With GT x and the result z, z · Σ xz / Σ zz is moved by the homography that maximises the enhanced
    correlation coefficient of both luminances (Evangelidis and Psarakis 2008; 100 steps, after a gaussian of
    5 pixels), by bicubic interpolation, reflected at the edges.  The mask is 1 where the nearest pixel of the
    moved picture lies inside it, else 0.

    If ECC finds no motion, or one that leaves less than half of the pixels, the result stays where it is, and
    the log says so.

    Args:
        img: The result, (H, W, C) BGR or (H, W), in 0..L, and clamped to it.
        img2: GT, of the same shape.
        data_range: The value of white.

    Returns:
        The moved result and GT, (H, W, C) with white at 1, and the mask, (H, W, 1).
    """
    z, x = planes(img, img2, data_range=data_range)
    # both metrics ask for the same pair, one after the other, and ECC takes seconds
    return _aligned((z / data_range).tobytes(), (x / data_range).tobytes(), x.shape)


@lru_cache(maxsize=1)
def _aligned(result: bytes, gt: bytes, shape: tuple[int, int, int]) -> tuple[Planes, Planes, Planes]:
    z, x = (np.frombuffer(content).reshape(shape) for content in (result, gt))
    h, w, _ = shape
    energy = float((z * z).sum())
    z = z * (float((x * z).sum()) / energy if energy else 1.0)
    still = z, x, np.ones((h, w, 1))
    try:
        homography = _homography(z, x)
    except cv2.error:
        return _note(still, "ECC found no motion")

    def moved(picture: Planes, interpolation: int, border: int) -> Planes:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        # in float64, OpenCV 5.0.0 is off by a pixel when it interpolates by cubics
        found = cv2.warpPerspective(
            picture.astype(np.float32), homography, (w, h), flags=flags, borderMode=border
        )
        return found.reshape(picture.shape).astype(np.float64)  # OpenCV drops the axis of a single channel

    mask = moved(still[2], cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    edge = SIDE // 2 if min(h, w) >= SIDE else 0
    if mask[edge : h - edge, edge : w - edge].mean() < LEAST_SHARE:
        return _note(still, "ECC moved most of it out of GT")
    return moved(z, cv2.INTER_CUBIC, cv2.BORDER_REFLECT), x, mask


def _homography(z: Planes, x: Planes) -> np.ndarray:
    """From places in x to places in z: (3, 3).  Raises cv2.error where there is none to be found."""
    found = np.eye(3, dtype=np.float32)
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, 0)
    gt, result = (_luminance(picture) for picture in (x, z))
    mask: Any = None  # which OpenCV takes, but does not say so
    _, found = cv2.findTransformECC(gt, result, found, cv2.MOTION_HOMOGRAPHY, steps, mask, BLUR)
    if not np.isfinite(found).all():
        raise cv2.error("the motion is not finite")
    return found


def _luminance(picture: Planes) -> np.ndarray:
    """(H, W, C) -> (H, W), in float32, which ECC works in."""
    if picture.shape[2] == 3:
        return (picture @ np.array(LUMA["gray"][0])).astype(np.float32)
    return picture.mean(2).astype(np.float32)


def _note(still: tuple[Planes, Planes, Planes], reason: str) -> tuple[Planes, Planes, Planes]:
    get_root_logger().warning(f"psnr_aligned, ssim_aligned: {reason}; this picture is measured where it is")
    return still
