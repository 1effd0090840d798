"""Choose which face and which part of a recording become the subject.

In: a ``Recording``. Out: the frames ``[first, last)`` between two cuts in which the
chosen face is seen longest, with gaps of up to a second bridged.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import median_filter

from talk3d.preprocess.track import Recording

__all__ = ["Span", "bridge_gaps", "choose_span", "find_cuts"]

_LONGEST_GAP = 25
_SHORTEST = 25
_CHANGE = 0.04
_SURGE = 6.0
_JUMP = 0.15
_GROWTH = 0.06
"""Jump of the log of the face's width: zooms within a shot are slower."""
_BIG_CHANGE = 0.12


@dataclass(frozen=True)
class Span:
    """The part of a video that is used."""

    face: int
    """Which face, counted from the largest."""
    faces: int
    """How many faces the video shows."""
    first: int
    """First frame used."""
    last: int
    """One past the last frame used."""
    cuts: tuple[int, ...]
    """Frames at which a new shot begins."""
    landmarks: Float[np.ndarray, "frames 478 2"]
    """The face's points in the used frames, pixels; gaps are interpolated."""
    valid: Bool[np.ndarray, " frames"]
    """Whether the face was really seen."""


def choose_span(recording: Recording, face: int) -> Span:
    """Return the longest usable part of the video.

    Raises:
        ValueError: No face, not that many faces, or none is seen for a second.
    """
    faces = len(recording.landmarks)
    if not faces:
        raise ValueError(
            "no face was found in the video: show one face, lit and near the camera"
        )
    if face >= faces:
        raise ValueError(
            f"face {face} was asked for, but the video shows {faces}: give a number "
            f"from 0 (the largest) to {faces - 1}"
        )
    points = recording.landmarks[face]
    seen = np.isfinite(points[:, 0, 0])
    cuts = find_cuts(recording, points)
    first, last = _longest(seen, cuts)
    if seen[first:last].sum() < _SHORTEST:
        raise ValueError(
            f"the face is seen for only {seen[first:last].sum() / 25:.1f} s without a "
            "cut: at least 1 s is needed, 20 s or more are good"
        )
    used, valid = points[first:last], seen[first:last]
    return Span(
        face, faces, first, last, tuple(cuts.tolist()), bridge_gaps(used), valid
    )


def find_cuts(
    recording: Recording, points: Float[np.ndarray, "frames 478 2"]
) -> Int[np.ndarray, " cuts"]:
    """Return the frames that begin a new shot.

    At a cut the picture changes much more than around it, and the face jumps, vanishes
    or changes its size, or nearly everything changes.
    """
    change = recording.change
    usual = median_filter(change, 25, mode="nearest")
    surge = change > np.maximum(_CHANGE, _SURGE * usual)
    width = np.linalg.norm(points[:, 234] - points[:, 454], axis=-1)
    middle = points[:, :468].mean(1)
    jump = np.linalg.norm(np.diff(middle, axis=0, prepend=middle[:1]), axis=-1) / width
    growth = np.abs(np.diff(np.log(width), prepend=np.log(width[:1])))
    moved = ~(jump < _JUMP) | (growth >= _GROWTH)
    return np.nonzero(surge & (moved | (change > _BIG_CHANGE)))[0]


def _longest(
    seen: Bool[np.ndarray, " frames"], cuts: Int[np.ndarray, " cuts"]
) -> tuple[int, int]:
    """Return the piece without cuts and long gaps in which the face is seen longest."""
    pieces = []
    for begin, end in pairwise([0, *cuts.tolist(), len(seen)]):
        where = begin + np.nonzero(seen[begin:end])[0]
        for part in np.split(where, np.nonzero(np.diff(where) > _LONGEST_GAP)[0] + 1):
            if len(part):
                pieces.append((len(part), int(part[0]), int(part[-1]) + 1))
    _, first, last = max(pieces)
    return first, last


def bridge_gaps(
    points: Float[np.ndarray, "frames 478 2"],
) -> Float[np.ndarray, "frames 478 2"]:
    """Interpolate frames without a face from their neighbours."""
    good = np.nonzero(np.isfinite(points[:, 0, 0]))[0]
    if len(good) == len(points):
        return points
    frames = np.arange(len(points))
    after = np.clip(np.searchsorted(good, frames), 0, len(good) - 1)
    before = np.clip(after - 1, 0, None)
    left, right = good[before], good[after]
    span = np.maximum(right - left, 1)
    share = np.clip((frames - left) / span, 0, 1)[:, None, None]
    bridged = points[left] * (1 - share) + points[right] * share
    return bridged.astype(points.dtype)
