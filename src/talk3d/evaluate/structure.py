"""Compare the structure of two pictures: SSIM and MS-SSIM.

In: two pictures of the same size, float, sRGB codes in [0, 1], height x width x 3, and
where wanted a mask. Windows reach five pixels past the mask: lay both pictures on the
same grey outside it first (`metrics.on_grey`). Out: numbers from -1 (MS-SSIM: 0) to 1.

`prepare` computes the truth's share once, for `compare` with many results.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from talk3d.evaluate.metrics import Mask, Picture, masked_mean

__all__ = ["MS_SSIM_MIN_SIZE", "Level", "compare", "ms_ssim", "prepare", "ssim"]

MS_SSIM_MIN_SIZE = 161
"""Pixels. The fifth scale must still hold one 11 x 11 window: (11 - 1) * 2**4 + 1."""

_GREY = np.float32(0.5)
"""Taken off before squaring: else bright flat parts lose their variance to rounding."""
_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@dataclass(frozen=True)
class Level:
    """A truth at one scale, with its local statistics."""

    picture: Float[np.ndarray, "height width 3"]
    """The picture less 0.5, halved as often as the scale says."""
    mean: Float[np.ndarray, "height width 3"]
    """Its local means under the window."""
    variance: Float[np.ndarray, "height width 3"]
    """Local variances under the window."""
    weight: Float[np.ndarray, "height width"] | None
    """The mask at this scale; None counts every pixel alike."""


def ssim(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the structural similarity (Wang et al. 2004, eq. 13), averaged.

    Gaussian window 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, channels apart, borders
    mirrored. With a mask: the mean over its pixels.
    """
    _check_size(truth, _WINDOW)
    return compare(result, prepare(truth, mask=mask, scales=1))[0]


def ms_ssim(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the five-scale structural similarity (Wang et al. 2003, eq. 7).

    Contrast-structure of scales 1 to 4 (windows inside the picture only) and the full
    similarity of scale 5 (borders mirrored), each averaged and clipped at zero, to the
    published powers; scales halve by 2 x 2 means. The mask is halved the same way and
    weighs the windows of each scale.
    """
    _check_size(truth, MS_SSIM_MIN_SIZE)
    return compare(result, prepare(truth, mask=mask, scales=len(_SCALE_WEIGHTS)))[1]


def prepare(truth: Picture, *, mask: Mask | None, scales: int) -> list[Level]:
    """Compute a truth's local statistics at 1 (SSIM) or 5 scales (and MS-SSIM)."""
    weight = None if mask is None else mask.astype(np.float32)
    truth = truth - _GREY
    levels = []
    for scale in range(scales):
        if scale:
            truth = _halve(truth)
            weight = None if weight is None else _halve(weight)
        mean = _blur(truth)
        variance = np.maximum(_blur(truth * truth) - mean * mean, 0.0)
        levels.append(Level(truth, mean, variance, weight))
    return levels


def compare(result: Picture, levels: list[Level]) -> tuple[float, float]:
    """Compute SSIM and MS-SSIM against a prepared truth.

    Returns:
        SSIM and MS-SSIM; the second is meaningful with five levels only.
    """
    first, product = 0.0, 1.0
    result = result - _GREY
    for scale, level in enumerate(levels):
        result = _halve(result) if scale else result
        similarity, contrast = _maps(result, level)
        if scale == 0:
            first = masked_mean(similarity, level.weight)
        if scale == len(levels) - 1:
            value = masked_mean(similarity, level.weight)
        else:
            value = masked_mean(*_inner(contrast, level.weight))
        product *= max(value, 0.0) ** _SCALE_WEIGHTS[scale]
    return first, product


def _maps(result: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of similarity and of contrast-structure."""
    mean = _blur(result)
    variance = np.maximum(_blur(result * result) - mean * mean, 0.0)
    covariance = _blur(result * level.picture) - mean * level.mean
    contrast = (2 * covariance + _C2) / (variance + level.variance + _C2)
    own, other = mean + _GREY, level.mean + _GREY
    brightness = (2 * own * other + _C1) / (own * own + other * other + _C1)
    return contrast * brightness, contrast


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


def _check_size(picture: np.ndarray, smallest: int) -> None:
    """Refuse pictures that are too small for the metric."""
    if min(picture.shape[:2]) < smallest:
        raise ValueError(
            f"The picture is {picture.shape[1]} x {picture.shape[0]} pixels; this "
            f"metric needs at least {smallest} on each side: render it larger."
        )
