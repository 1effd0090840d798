"""Smooth a solved head track in time, without lag.

Landmarks tremble; a head does not. Each channel is smoothed by Whittaker's method (the
series closest to the data whose second differences are small, solved for the whole
video at once, so there is no delay), with the strength chosen per channel by
generalised cross-validation: a still head gets strong smoothing, a quick one little.
A jerk, or a frame that a converter dropped, is no trembling: what a channel misses by
far more than elsewhere stays in it.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from talk3d.face import FaceShape
from talk3d.preprocess.fit import PoseConfig
from talk3d.preprocess.pose import (
    HeadTrack,
    refit_expression,
    refit_place,
)

__all__ = ["calm_track", "smooth_series", "steady_track"]

_STRENGTHS = np.geomspace(0.3, 3e4, 26)
_JERK = 3.0
_LEAST_TURN = 4.0
_LEAST_DEPTH = 30.0
_LEAST_PLACE = 0.3
"""Least strengths: the network's errors are alike in neighbouring frames, which
cross-validation takes for motion. Found on rendered talk, where the true second
difference of the turn is 0.01 degrees: 4 leaves 0.1, more would hold back quick real
nods. Sideways motion is well seen and is hardly touched."""
_LEAST_REFINED = 0.1
"""Poses refined by the pictures err by a tenth as much, from frame to frame anew."""


def smooth_series(
    values: Float[np.ndarray, " frames"], *, least: float
) -> Float[np.ndarray, " frames"]:
    """Smooth one series with the strength that predicts left-out frames best.

    What is left over beyond ``_JERK`` robust deviations is added back.

    Args:
        values: One number per frame.
        least: The smallest strength tried.
    """
    count = len(values)
    if count < 5:
        return values
    # The penalty's eigenvalues for long series (exact with periodic ends).
    roots = (2 - 2 * np.cos(np.pi * np.arange(count) / count)) ** 2
    best, best_score = values, np.inf
    for strength in _STRENGTHS[least <= _STRENGTHS]:
        smooth = _whittaker(values, float(strength))
        freedom = float((1 / (1 + strength * roots)).sum())
        misfit = float(((values - smooth) ** 2).sum())
        score = misfit / (1 - min(freedom / count, 0.999)) ** 2
        if score < best_score:
            best, best_score = smooth, score
    return best + _jerks(values - best)


def _jerks(rest: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """Return what exceeds the noise of a smoothed series."""
    noise = 1.4826 * float(np.median(np.abs(rest)))
    return np.sign(rest) * np.maximum(np.abs(rest) - _JERK * noise, 0.0)


def _whittaker(
    values: Float[np.ndarray, " frames"], strength: float
) -> Float[np.ndarray, " frames"]:
    """Minimise |x - values|^2 + strength |second differences of x|^2."""
    count = len(values)
    bands = np.zeros((3, count))
    bands[2] = 1 + 6 * strength
    bands[2, [1, -2]] = 1 + 5 * strength
    bands[2, [0, -1]] = 1 + strength
    bands[1, 1:] = -4 * strength
    bands[1, [1, -1]] = -2 * strength
    bands[0, 2:] = strength
    return solveh_banded(bands, values)


def steady_track(
    track: HeadTrack,
    points: Float[np.ndarray, "frames 478 2"],
    shape: FaceShape,
    config: PoseConfig,
) -> HeadTrack:
    """Smooth the poses and fit the rest of the track to them again.

    Errors of turn and of place compensate each other in the picture, so first turn and
    distance are smoothed, then the place is fitted anew and smoothed, then the
    expression is fitted anew.
    """
    track = refit_place(_smooth_turns(track), points, shape, config)
    track = replace(track, translation=_smooth_place(track))
    return refit_expression(track, points, shape, config)


def calm_track(track: HeadTrack) -> HeadTrack:
    """Smooth poses that pictures have refined: lightly, the distance as ever."""
    middle = Rotation.from_matrix(track.rotation).mean()
    turns = (Rotation.from_matrix(track.rotation) * middle.inv()).as_rotvec()
    least = _LEAST_REFINED
    smooth = np.stack([smooth_series(c, least=least) for c in turns.T], -1)
    place = [
        smooth_series(channel, least=limit)
        for channel, limit in zip(
            track.translation.T, (least, least, _LEAST_DEPTH), strict=True
        )
    ]
    return replace(
        track,
        rotation=(Rotation.from_rotvec(smooth) * middle).as_matrix(),
        translation=np.stack(place, -1),
    )


def _smooth_turns(track: HeadTrack) -> HeadTrack:
    middle = Rotation.from_matrix(track.rotation).mean()
    turns = (Rotation.from_matrix(track.rotation) * middle.inv()).as_rotvec()
    smooth = np.stack(
        [smooth_series(channel, least=_LEAST_TURN) for channel in turns.T], -1
    )
    rotation = (Rotation.from_rotvec(smooth) * middle).as_matrix()
    depth = np.log(track.translation[:, 2])
    depth = np.exp(smooth_series(depth, least=_LEAST_DEPTH))
    scale = depth / track.translation[:, 2]
    translation = track.translation * scale[:, None]
    return replace(track, rotation=rotation, translation=translation)


def _smooth_place(track: HeadTrack) -> Float[np.ndarray, "frames 3"]:
    depth = track.translation[:, 2:]
    aim = track.translation[:, :2] / depth
    aim = np.stack(
        [smooth_series(channel, least=_LEAST_PLACE) for channel in aim.T], -1
    )
    return np.concatenate([aim * depth, depth], -1)
