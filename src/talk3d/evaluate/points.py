"""Compare lips and faces by their landmarks: LMD, lip gap, closure, jitter.

In: landmarks, frames x 478 x 2, in pixels or any unit that is the same on both axes
(crop coordinates of a square crop are); NaN where no face was found. Out: one number
per frame, or one for the clip. Numbering of the points: `talk3d.face`.

| function         | range  | unit                       | better          |
|------------------|--------|----------------------------|-----------------|
| `lip_distance`   | 0..inf | % of outer-canthus distance| lower           |
| `lip_distance_px`| 0..inf | pixels                     | lower           |
| `lip_gap`        | 0..inf | outer-canthus distances    | like the truth  |
| `closed`         |        | marks frames               |                 |
| `closure_error`  | 0..1   | share of frames            | lower           |
| `eye_opening`    | 0..inf | eye widths                 | like the truth  |
| `jitter`         | 0..inf | ratio to the truth         | at most 1       |
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from talk3d.evaluate.regions import LIPS_INNER, LIPS_OUTER
from talk3d.face import LEFT_EYE, RIGHT_EYE

__all__ = [
    "CLOSED_GAP",
    "closed",
    "closure_error",
    "eye_opening",
    "face_scale",
    "jitter",
    "lip_distance",
    "lip_distance_px",
    "lip_gap",
    "shut_gap",
]

Track = Float[np.ndarray, "frames 478 2"]
PerFrame = Float[np.ndarray, " frames"]

CLOSED_GAP = 0.02
"""Lips count as closed up to this far above the truth's `shut_gap`, in outer-canthus
distances."""

_LIPS = list(LIPS_OUTER + LIPS_INNER)
_OUTER_CANTHI = (33, 263)
_UPPER_LIP, _LOWER_LIP = [81, 82, 13, 312, 311], [178, 87, 14, 317, 402]
_LIDS = ((RIGHT_EYE, (33, 133)), (LEFT_EYE, (263, 362)))


def face_scale(truth: Track) -> float:
    """Return the frontal outer-canthus distance of a clip.

    Turning the head shortens the distance in the picture, so the longest counts: the
    95th percentile over the frames, which single bad frames do not move.
    """
    gap = truth[:, _OUTER_CANTHI[0]] - truth[:, _OUTER_CANTHI[1]]
    return float(np.nanpercentile(np.linalg.norm(gap, axis=-1), 95))


def lip_distance(result: Track, truth: Track, *, scale: float) -> PerFrame:
    """Measure the landmark distance of the lips (LMD) per frame, in percent.

    Mean distance of the 40 lip points to the truth's, both sets moved to their own mean
    first, divided by `scale` (`face_scale` of the truth), times 100.
    """
    return 100.0 * lip_distance_px(result, truth) / scale


def lip_distance_px(result: Track, truth: Track) -> PerFrame:
    """Measure the landmark distance of the lips in the unit of the points.

    The form papers print (Chen et al. 2018): it grows with the size of the picture.
    """
    own, other = result[:, _LIPS], truth[:, _LIPS]
    own = own - own.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    return np.linalg.norm(own - other, axis=-1).mean(axis=-1)


def lip_gap(track: Track, *, scale: float) -> PerFrame:
    """Measure how far the inner lips are apart, per frame, in units of `scale`.

    Mean over the five middle pairs of the inner contour, along the face's own up axis
    (square to the line between the outer corners of the eyes), never below zero.
    """
    across = track[:, _OUTER_CANTHI[1]] - track[:, _OUTER_CANTHI[0]]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    down = np.stack([-across[:, 1], across[:, 0]], axis=-1)
    gap = (track[:, _LOWER_LIP] - track[:, _UPPER_LIP]).mean(axis=1)
    return np.maximum((gap * down).sum(axis=-1), 0.0) / scale


def shut_gap(truth_gap: PerFrame) -> float:
    """Return the gap that the landmark net sees between shut lips of this person.

    It is not zero (0.02 to 0.03 for full lips): the 2nd percentile of the truth's gaps.
    """
    return float(np.nanpercentile(truth_gap, 2))


def closed(gap: PerFrame, *, shut: float) -> Bool[np.ndarray, " frames"]:
    """Mark the frames with closed lips: a gap below `shut` + `CLOSED_GAP`."""
    return gap < shut + CLOSED_GAP


def closure_error(gap: PerFrame, truth_gap: PerFrame) -> float:
    """Return the share of frames where one mouth is closed and the other is not."""
    known = np.isfinite(gap) & np.isfinite(truth_gap)
    if not known.any():
        return float("nan")
    shut = shut_gap(truth_gap)
    return float((closed(gap, shut=shut) != closed(truth_gap, shut=shut))[known].mean())


def eye_opening(track: Track) -> Float[np.ndarray, "frames 2"]:
    """Measure the lid opening of the left and the right eye, in eye widths."""
    openings = []
    for contour, (outer, inner) in reversed(_LIDS):
        lower, upper = track[:, contour[2:7]], track[:, contour[10:15]]
        width = np.linalg.norm(track[:, outer] - track[:, inner], axis=-1)
        height = np.linalg.norm((upper - lower).mean(axis=1), axis=-1)
        openings.append(height / width)
    return np.stack(openings, axis=-1)


def jitter(
    result: Track,
    truth: Track,
    *,
    points: Int[np.ndarray, " points"] | None = None,
) -> float:
    """Divide the mean second difference over time by the truth's.

    mean |p(t-1) - 2 p(t) + p(t+1)| over the points and the frames whose neighbours have
    a face too. 1 is as calm as the truth; NaN when the truth stands still or nowhere
    three frames in a row have a face. All 478 points unless some are named.
    """
    unrest = _unrest(truth, points)
    return _unrest(result, points) / unrest if unrest > 0 else float("nan")


def _unrest(track: np.ndarray, points: np.ndarray | None) -> float:
    """Return the mean length of the second difference."""
    chosen = track if points is None else track[:, points]
    second = np.linalg.norm(chosen[:-2] - 2 * chosen[1:-1] + chosen[2:], axis=-1)
    known = second[np.isfinite(second)]
    return float(known.mean()) if len(known) else float("nan")
