"""Compare two pictures: PSNR, MAE, SSIM, MS-SSIM and sharpness.

In: two pictures of the same size, float, sRGB codes in [0, 1], height x width x 3, and
where wanted a mask (float or bool, height x width, 1 = counts). Out: plain numbers.

| function     | range        | unit  | better | source                                |
|--------------|--------------|-------|--------|---------------------------------------|
| `psnr`       | 0..100       | dB    | higher | 10 log10(1 / mean square error)       |
| `mae`        | 0..1         | codes | lower  | mean absolute difference              |
| `ssim`       | -1..1        | -     | higher | Wang et al. 2004                      |
| `ms_ssim`    | 0..1         | -     | higher | Wang, Simoncelli, Bovik 2003          |
| `sharpness`  | 0..inf       | ratio | near 1 | power above a quarter of Nyquist      |

A mask selects where the error is *averaged*; pixels outside never count as perfect.
SSIM windows reach five pixels past the mask: call `on_grey` first, so that both hold
the same grey there.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import dctn, idctn

__all__ = [
    "MS_SSIM_MIN_SIZE",
    "PSNR_CEILING",
    "detail_power",
    "luma",
    "mae",
    "mean_square_error",
    "ms_ssim",
    "on_grey",
    "psnr",
    "psnr_from_error",
    "sharpness",
    "ssim",
]

Picture = Float[np.ndarray, "height width 3"]
Mask = Float[np.ndarray, "height width"] | Bool[np.ndarray, "height width"]

PSNR_CEILING = 100.0
"""dB. Equal pictures have no finite PSNR; everything above is reported as this."""

MS_SSIM_MIN_SIZE = 161
"""Pixels. The fifth scale must still hold one 11 x 11 window: (11 - 1) * 2**4 + 1."""

_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_CUT = 0.25
_CUT_HALF_WIDTH = 0.05
_THIRDS = np.full(3, 1 / 3, np.float32)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def mean_square_error(
    result: Picture, truth: Picture, *, mask: Mask | None = None
) -> float:
    """Average the squared difference over the mask and the three channels."""
    return _mean((result - truth) ** 2, mask)


def mae(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Average the absolute difference over the mask and the three channels."""
    return _mean(np.abs(result - truth), mask)


def psnr(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the peak signal to noise ratio in dB, of the mask's mean square error."""
    return psnr_from_error(mean_square_error(result, truth, mask=mask))


def psnr_from_error(error: float) -> float:
    """Turn a mean square error (codes in [0, 1]) into dB, at most `PSNR_CEILING`."""
    if error <= 10 ** (-PSNR_CEILING / 10):
        return PSNR_CEILING
    return -10.0 * math.log10(error)


def ssim(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the structural similarity (Wang et al. 2004, eq. 13), averaged.

    Gaussian window 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, channels apart, borders
    mirrored. With a mask: the mean over its pixels.
    """
    _check_size(result, _WINDOW)
    similarity, _ = _ssim_maps(result, truth)
    return _mean(similarity, mask)


def ms_ssim(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the five-scale structural similarity (Wang et al. 2003, eq. 7).

    Contrast-structure of scales 1 to 4 (windows inside the picture only) and the full
    similarity of scale 5 (borders mirrored), each averaged and clipped at zero, to the
    published powers; scales halve by 2 x 2 means. The mask is halved the same way and
    weighs the windows of each scale.
    """
    _check_size(result, MS_SSIM_MIN_SIZE)
    weight = None if mask is None else mask.astype(np.float32)
    product = 1.0
    for scale, power in enumerate(_SCALE_WEIGHTS):
        last = scale == len(_SCALE_WEIGHTS) - 1
        similarity, contrast = _ssim_maps(result, truth)
        value = _mean(similarity, weight) if last else _mean(*_inner(contrast, weight))
        product *= max(value, 0.0) ** power
        if not last:
            result, truth = _halve(result), _halve(truth)
            weight = None if weight is None else _halve(weight)
    return product


def luma(picture: Picture) -> Float[np.ndarray, "height width"]:
    """Weigh the sRGB codes by BT.709 (0.2126, 0.7152, 0.0722)."""
    return picture.astype(np.float32) @ _LUMA


def detail_power(picture: Picture) -> Float[np.ndarray, "height width"]:
    """Map the power that lies above a quarter of the Nyquist frequency.

    The luma is filtered in the cosine domain (mirrored, so that the edge of the frame
    makes no detail): radial pass with a raised-cosine flank from 0.2 to 0.3 of Nyquist,
    half amplitude at 0.25. The square of what passes is the local power, in codes
    squared; its mean over the frame is the power above the cut (Parseval).
    """
    grey = luma(picture)
    height, width = grey.shape
    vertical = np.arange(height, dtype=np.float32)[:, None] / height
    horizontal = np.arange(width, dtype=np.float32)[None, :] / width
    radius = np.hypot(vertical, horizontal)
    step = (radius - _CUT) / _CUT_HALF_WIDTH
    gain = 0.5 + 0.5 * np.sin(np.pi / 2 * np.clip(step, -1.0, 1.0))
    spectrum = np.asarray(dctn(grey, norm="ortho"))
    return np.square(np.asarray(idctn(spectrum * gain, norm="ortho")))


def sharpness(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Divide the result's power above a quarter of Nyquist by the truth's.

    1 is as sharp as the truth, 0 has no detail; noise raises it, so it is read beside
    PSNR. Infinite when the truth has no detail at all but the result has.
    """
    power = _mean(detail_power(truth), mask)
    own = _mean(detail_power(result), mask)
    if power > 0.0:
        return own / power
    return 1.0 if own == 0.0 else math.inf


def on_grey(picture: Picture, mask: Mask) -> Picture:
    """Replace everything outside the mask by 0.5 grey."""
    weight = mask.astype(np.float32)[..., None]
    return (picture * weight + 0.5 * (1.0 - weight)).astype(np.float32)


def _ssim_maps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of similarity and of contrast-structure."""
    mean1, mean2 = _blur(first), _blur(second)
    square1, square2, cross = mean1 * mean1, mean2 * mean2, mean1 * mean2
    variance1 = np.maximum(_blur(first * first) - square1, 0.0)
    variance2 = np.maximum(_blur(second * second) - square2, 0.0)
    covariance = _blur(first * second) - cross
    contrast = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return contrast * (2 * cross + _C1) / (square1 + square2 + _C1), contrast


def _blur(picture: np.ndarray) -> np.ndarray:
    """Average under the Gaussian window, borders mirrored (edge pixel not repeated)."""
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    return cv2.sepFilter2D(
        picture, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101
    )


def _halve(values: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2; an odd last row or column is dropped."""
    height, width = (side // 2 for side in values.shape[:2])
    even = values[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def _inner(
    values: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Keep the pixels whose whole window lies inside the picture."""
    edge = _WINDOW // 2
    inner = np.s_[edge:-edge, edge:-edge]
    return values[inner], None if mask is None else mask[inner]


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    """Average over the mask and any channels; NaN for an empty mask."""
    flat = values if values.ndim == 2 else values @ _THIRDS
    if mask is None:
        return float(flat.mean(dtype=np.float64))
    total = float(mask.sum(dtype=np.float64))
    if total == 0.0:
        return math.nan
    return float(np.einsum("ij,ij", flat, mask, dtype=np.float64) / total)


def _check_size(picture: np.ndarray, smallest: int) -> None:
    """Refuse pictures that are too small for the metric."""
    if min(picture.shape[:2]) < smallest:
        raise ValueError(
            f"The picture is {picture.shape[1]} x {picture.shape[0]} pixels; this "
            f"metric needs at least {smallest} on each side: render it larger."
        )
