"""Compare two pictures: PSNR, MAE and sharpness.

In: two pictures of the same size, float, sRGB codes in [0, 1], height x width x 3, and
where wanted a mask (float or bool, height x width, 1 = counts). Out: plain numbers.

| function     | range        | unit  | better | source                                |
|--------------|--------------|-------|--------|---------------------------------------|
| `psnr`       | 0..100       | dB    | higher | 10 log10(1 / mean square error)       |
| `mae`        | 0..1         | codes | lower  | mean absolute difference              |
| `sharpness`  | 0..inf       | ratio | near 1 | power above a quarter of Nyquist      |

A mask selects where the error is *averaged*; pixels outside never count as perfect.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import dctn, idctn

__all__ = [
    "PSNR_CEILING",
    "detail_power",
    "luma",
    "mae",
    "masked_mean",
    "mean_square_error",
    "on_grey",
    "psnr",
    "psnr_from_error",
    "sharpness",
]

Picture = Float[np.ndarray, "height width 3"]
Mask = Float[np.ndarray, "height width"] | Bool[np.ndarray, "height width"]

PSNR_CEILING = 100.0
"""dB. Equal pictures have no finite PSNR; everything above is reported as this."""

_CUT = 0.25
_CUT_HALF_WIDTH = 0.05
_THIRDS = np.full(3, 1 / 3, np.float32)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def mean_square_error(
    result: Picture, truth: Picture, *, mask: Mask | None = None
) -> float:
    """Average the squared difference over the mask and the three channels."""
    return masked_mean((result - truth) ** 2, mask)


def mae(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Average the absolute difference over the mask and the three channels."""
    return masked_mean(np.abs(result - truth), mask)


def psnr(result: Picture, truth: Picture, *, mask: Mask | None = None) -> float:
    """Compute the peak signal to noise ratio in dB, of the mask's mean square error."""
    return psnr_from_error(mean_square_error(result, truth, mask=mask))


def psnr_from_error(error: float) -> float:
    """Turn a mean square error (codes in [0, 1]) into dB, at most `PSNR_CEILING`."""
    if error <= 10 ** (-PSNR_CEILING / 10):
        return PSNR_CEILING
    return -10.0 * math.log10(error)


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
    power = masked_mean(detail_power(truth), mask)
    own = masked_mean(detail_power(result), mask)
    if power > 0.0:
        return own / power
    return 1.0 if own == 0.0 else math.inf


def on_grey(picture: Picture, mask: Mask) -> Picture:
    """Replace everything outside the mask by 0.5 grey."""
    weight = mask.astype(np.float32)[..., None]
    return (picture * weight + 0.5 * (1.0 - weight)).astype(np.float32)


def masked_mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    """Average over the mask and any channels; NaN for an empty mask."""
    flat = values if values.ndim == 2 else values @ _THIRDS
    if mask is None:
        return float(flat.mean(dtype=np.float64))
    total = float(mask.sum(dtype=np.float64))
    if total == 0.0:
        return math.nan
    return float(np.einsum("ij,ij", flat, mask, dtype=np.float64) / total)
