"""Finds the invisible mark in pictures, and reads its identity.

Frames are brought to the size of the tile, freed of what is smooth, and normalised by
their local contrast, so that edges do not outshout the mark; the mean over frames is
what a reading starts from. For every size that a crop may have left the tile with,
the mean is laid on one tile, its spectrum whitened, and correlated with the fixed
part of the pattern at all shifts. The best fit says where the tile lies; there the
word is read.

**False alarms.** The fit ``z`` is a sum of fixed numbers (the whitened spectrum) with
signs that the key drew at random, divided by the root of the sum of their squares. By
Hoeffding's inequality P(z >= t) <= exp(-t^2 / 2) whatever the picture is. With all
trials of a reading counted, ``false_alarm`` is the bound for the whole reading; a word
whose 16-bit check is right divides it by 65536.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Float, UInt8

from talk3d.trust.code import CODED_BITS, decode
from talk3d.trust.watermark import ID_DIGITS, TILE, carriers

__all__ = ["THRESHOLD", "TRIALS", "Reading", "read_mark"]

THRESHOLD = 1e-8
"""Bound of the false alarm rate of a reading below which a mark counts as found."""
_SIZES = tuple(np.arange(0.66, 1.0601, 0.005).round(4).tolist())
TRIALS = 2 * len(_SIZES) * TILE * TILE
"""Places of the tile, of all sizes, plain and mirrored, that one reading tries."""
_CHECK = 2.0**-16
_SMOOTH, _LOCAL = 2.5, 3.0
_FLOOR, _LIMIT = 2.0, 2.0
_NEIGHBOURS = 9


@dataclass(frozen=True)
class Reading:
    """What was found in pictures."""

    found: bool
    """Whether a mark is there."""
    identity: str | None
    """Ten hexadecimal digits, or None if it cannot be read."""
    agreement: float
    """Part of the 124 coded bits that agree with the word read; chance gives 0.8."""
    fit: float
    """Best fit ``z`` of the fixed part; pictures without a mark stay below 7."""
    false_alarm: float
    """Bound of the probability that an unmarked picture looks like this."""
    size: float
    """Side of the tile over the shorter side of the pictures; above 1 after a crop."""
    mirrored: bool
    """Whether the picture was mirrored."""


def read_mark(
    pictures: Iterable[UInt8[np.ndarray, "height width 3"]], *, sheet: bool = False
) -> Reading:
    """Look for the mark in pictures of one scene that would all carry the same one.

    Args:
        pictures: sRGB pictures of one size; some dozen frames of a video are enough.
        sheet: whether to look for tiles of ``TILE`` pixels, as sheets carry, and not
            for ones as large as the picture.

    Raises:
        ValueError: if there is no picture.
    """
    total: np.ndarray | None = None
    for picture in pictures:
        part = _residual(picture, TILE if sheet else min(picture.shape[:2]))
        total = part if total is None else total + part
    if total is None:
        message = "there is no picture to look for a mark in"
        raise ValueError(message)
    plain = _read(total, mirrored=False)
    if plain.found:
        return plain
    turned = _read(np.ascontiguousarray(total[:, ::-1]), mirrored=True)
    return turned if turned.false_alarm < plain.false_alarm else plain


def _residual(
    picture: UInt8[np.ndarray, "height width 3"], side: int
) -> Float[np.ndarray, "h w"]:
    """Return the fine part of a picture by local contrast, a tile's side being 256.

    What is busy counts less: its noise grows faster than the mark in it.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = TILE / side
    if scale != 1:
        size = (round(width * scale), round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        grey = cv2.resize(grey, size, interpolation=how)
    grey = grey.astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _SMOOTH)
    contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _LOCAL))
    scale = contrast + _FLOOR
    return np.clip(fine / scale, -_LIMIT, _LIMIT) / np.sqrt(scale)


def _read(mean: Float[np.ndarray, "h w"], *, mirrored: bool) -> Reading:
    carry = carriers()
    best, best_size, best_at, best_plane = -math.inf, 1.0, 0, None
    for size in _SIZES:
        plane = _whitened(_laid(mean, size))
        product = plane[carry.sync] * carry.sync_phase.conj()
        norm = math.sqrt(float((np.abs(product) ** 2).sum()) / 2)
        if norm == 0:
            continue
        filled = np.zeros_like(plane)
        filled[carry.sync] = product
        fits = np.asarray(scipy.fft.irfft2(filled.reshape(TILE, -1), (TILE, TILE)))
        at = int(fits.argmax())
        fit = float(fits.flat[at]) * TILE * TILE / 2 / norm
        if fit > best:
            best, best_size, best_at, best_plane = fit, size, at, plane
    if best_plane is None:
        return Reading(False, None, 0.0, 0.0, 1.0, 1.0, mirrored)
    identity, agreement = decode(_soft_bits(best_plane, best_at))
    bound = min(1.0, TRIALS * math.exp(-(max(best, 0.0) ** 2) / 2))
    bound *= 1.0 if identity is None else _CHECK
    found = bound < THRESHOLD
    digits = f"{identity:0{ID_DIGITS}x}" if found and identity is not None else None
    return Reading(
        found, digits, agreement, best, bound, round(1 / best_size, 3), mirrored
    )


def _laid(mean: Float[np.ndarray, "h w"], size: float) -> Float[np.ndarray, "256 256"]:
    """Resize, and lay the picture on one tile: what is beyond it wraps around."""
    height, width = (max(1, round(side * size)) for side in mean.shape)
    how = cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    mean = cv2.resize(mean, (width, height), interpolation=how)
    rows, columns = -(-height // TILE), -(-width // TILE)
    room = np.zeros((rows * TILE, columns * TILE), np.float32)
    room[:height, :width] = mean
    return room.reshape(rows, TILE, columns, TILE).sum((0, 2))


def _whitened(
    tile: Float[np.ndarray, "256 256"],
) -> np.ndarray:
    """Return the flat half plane of the spectrum, divided by its local size."""
    plane = np.asarray(scipy.fft.rfft2(tile))
    power = np.fft.fftshift(np.abs(plane) ** 2, axes=0)
    local = cv2.blur(np.ascontiguousarray(power), (_NEIGHBOURS, _NEIGHBOURS))
    local = np.fft.ifftshift(local, axes=0)
    return (plane / np.sqrt(local + 1e-12)).ravel()


def _soft_bits(plane: np.ndarray, at: int) -> Float[np.ndarray, " coded"]:
    """Return the evidence for every coded bit, in units of its noise."""
    carry = carriers()
    down, right = divmod(at, TILE)
    row = np.fft.fftfreq(TILE, 1 / TILE)[:, None]
    column = np.arange(TILE // 2 + 1)[None]
    turn = np.exp(2j * np.pi * (row * down + column * right) / TILE).ravel()
    value = plane[carry.data] * turn[carry.data] * carry.data_phase.conj()
    total = np.bincount(carry.bit, np.real(value), CODED_BITS)
    noise = np.bincount(carry.bit, np.abs(value) ** 2 / 2, CODED_BITS)
    return total / np.sqrt(noise + 1e-12)
