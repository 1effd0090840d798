"""The invisible mark: a fixed pattern of mid frequencies that carries an identity.

The pattern is periodic: one tile spans the shorter side of the picture, or, in sheets
of many pictures, whose detail would drown it, ``TILE`` pixels. In the
Fourier plane of the tile, coefficients of ``_LOWEST`` to ``_HIGHEST`` cycles have one
size and phases drawn from a published key. A quarter of them never changes and says
where the tile lies and how large it is; the others carry the signs of a code word
(``talk3d.trust.code``). All frames of a video carry the same pattern, so a reader may
average over frames. Band and size were chosen by trials: higher frequencies do not
survive strong compression, lower ones are seen.

The key is public, like this file: the mark tells the honest from the unmarked. It is
no lock; who wants to remove or to forge it, can.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Complex, Float, Int, UInt8

from talk3d.trust.code import CODED_BITS, ID_BITS, encode

__all__ = ["ID_DIGITS", "TILE", "Carriers", "Mark", "carriers"]

TILE = 256
"""Side of the tile in pixels; pictures of another size get it resampled."""
ID_DIGITS = ID_BITS // 4
"""Hexadecimal digits of an identity."""
WEAKEST, STRONGEST, BY_ACTIVITY = 0.5, 3.0, 0.7
"""Root mean square of the pattern in levels of 255 where the picture is flat, where it
is busy, and what a level of local activity adds."""
LEAST, BUDGET = 1.6, 1.99
"""Root mean square of the pattern over a picture, least and highest: 44 and 42 dB. A
picture that is flat all over must carry the mark somewhere."""
_LOWEST, _HIGHEST = 8, 56
_SYNC_PART = 0.25
_FINE, _AROUND = (7, 7), (5, 5)
_KEY = b"talk3d watermark 1"


@dataclass(frozen=True)
class Carriers:
    """The coefficients that the pattern is made of.

    Indices count the half plane of ``rfft2`` of a tile, row by row.
    """

    sync: Int[np.ndarray, " sync"]
    """Where the part lies that never changes."""
    sync_phase: Complex[np.ndarray, " sync"]
    """Its values, of size one."""
    data: Int[np.ndarray, " data"]
    """Where the part lies that carries the word."""
    data_phase: Complex[np.ndarray, " data"]
    """Its values for bits that are 0; negative for 1."""
    bit: Int[np.ndarray, " data"]
    """Which bit of the word each carries."""


@cache
def carriers() -> Carriers:
    """Return the coefficients, drawn from the key by SHAKE-256."""
    row = np.fft.fftfreq(TILE, 1 / TILE)[:, None]
    column = np.arange(TILE // 2 + 1)[None]
    radius = np.hypot(row, column)
    # Of a column at zero the lower half mirrors the upper one.
    free = (column > 0) | (row > 0)
    index = np.flatnonzero((radius >= _LOWEST) & (radius <= _HIGHEST) & free)
    drawn = np.frombuffer(hashlib.shake_256(_KEY).digest(9 * len(index)), np.uint8)
    index = index[np.argsort(drawn[: 8 * len(index)].view("<u8"))]
    quadrant = drawn[8 * len(index) :]
    phase = ((1 - 2.0 * (quadrant & 1)) + 1j * (1 - 2.0 * (quadrant >> 1 & 1))) / 2**0.5
    split = round(_SYNC_PART * len(index))
    bit = np.arange(len(index) - split) % CODED_BITS
    return Carriers(index[:split], phase[:split], index[split:], phase[split:], bit)


@dataclass(frozen=True)
class Mark:
    """The pattern of one identity, ready to be added to pictures of one size."""

    pattern: Float[np.ndarray, "height width"]
    """The pattern, of mean square one."""
    side: int
    """Side of its tile in pixels."""

    @classmethod
    def of(
        cls, identity: str, height: int, width: int, *, side: int | None = None
    ) -> "Mark":
        """Make the pattern.

        Args:
            identity: ten hexadecimal digits.
            height: of the pictures, pixels.
            width: of the pictures, pixels.
            side: of the tile, pixels; the shorter side of the pictures if not given.

        Raises:
            ValueError: if the identity is something else.
        """
        if len(identity) != ID_DIGITS:
            message = f"the identity {identity!r} does not have {ID_DIGITS} digits"
            raise ValueError(message)
        tile = _tile(encode(int(identity, 16)))
        side = side or min(height, width)
        if side != TILE:
            how = cv2.INTER_AREA if side < TILE else cv2.INTER_CUBIC
            tile = cv2.resize(tile, (side, side), interpolation=how)
        tile = tile / tile.std()
        repeated = np.tile(tile, (-(-height // side), -(-width // side)))
        return cls(np.ascontiguousarray(repeated[:height, :width], np.float32), side)

    def apply(
        self, picture: UInt8[np.ndarray, "height width channels"]
    ) -> UInt8[np.ndarray, "height width channels"]:
        """Return a marked copy of an sRGB picture; a fourth channel is left alone."""
        colour = np.ascontiguousarray(picture[..., :3])
        added = cv2.multiply(self.pattern, _strength(colour, self.side))
        added = np.rint(added).astype(np.int16)
        marked = cv2.add(colour, cv2.merge((added, added, added)), dtype=cv2.CV_8U)
        if picture.shape[2] == 3:
            return marked
        return np.concatenate([marked, picture[..., 3:]], axis=2)


def _strength(
    colour: UInt8[np.ndarray, "height width 3"], side: int
) -> Float[np.ndarray, "height width"]:
    """Return how strong the mark may be: grain is seen on walls, not in hair.

    What hides grain is fine detail close by, no slow shading; it is looked for at the
    scale of the tile.
    """
    height, width = colour.shape[:2]
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, TILE / side)
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.float32)
    fine = grey - cv2.blur(grey, _FINE)
    power = cv2.blur(fine * fine, _AROUND)
    small = (max(1, power.shape[1] // 4), max(1, power.shape[0] // 4))
    power = cv2.resize(power, small, interpolation=cv2.INTER_AREA)
    activity = np.sqrt(np.maximum(power, 0))
    strength = np.clip(WEAKEST + BY_ACTIVITY * activity, WEAKEST, STRONGEST)
    level = float(np.sqrt(np.mean(strength * strength)))
    strength *= min(max(level, LEAST), BUDGET) / level
    return cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)


def _tile(word: Bool[np.ndarray, " coded"]) -> Float[np.ndarray, "256 256"]:
    carry = carriers()
    plane = np.zeros(TILE * (TILE // 2 + 1), dtype=np.complex128)
    plane[carry.sync] = carry.sync_phase
    plane[carry.data] = carry.data_phase * (1 - 2.0 * word[carry.bit])
    tile = np.fft.irfft2(plane.reshape(TILE, -1), (TILE, TILE))
    return (tile / tile.std()).astype(np.float32)
