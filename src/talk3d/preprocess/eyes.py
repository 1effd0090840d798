"""Where the eyes look and how far they are shut.

In: landmarks in pixels and the solved head. Out: gaze of both eyes in the head frame
(yaw toward the subject's left, pitch up, radians) and blink (0 open, 1 shut). Left is
the subject's.

Gaze: the ray through the centre of the iris is cut with the eyeball, a sphere behind
the resting iris of this person; the direction from its centre is the gaze.
"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import median_filter

from talk3d.face import FaceShape, eye_openness
from talk3d.preprocess.pose import HeadTrack

__all__ = ["blinks", "gaze_angles"]

_LEFT_IRIS, _RIGHT_IRIS = 473, 468
_EYE_RADIUS = 1.545 / 40
"""World units: the eyeball of the head model."""
_SHUT = (0.08, 0.5)
"""A shut eye: at least this lid gap / eye width, at most this part of the usual."""
_LIMIT = np.radians(40)
_YAW_GAIN, _PITCH_GAIN = 0.69, 0.58
_PITCH_OFFSET = np.radians(-2.1)
"""Seen angle = gain x true angle + offset."""


def blinks(
    landmarks: Float[np.ndarray, "frames 478 2"],
) -> Float[np.ndarray, "frames 2"]:
    """Return 0 (open as usual for this person) to 1 (shut) for the left, right eye."""
    gap = eye_openness(landmarks)
    usual = np.percentile(gap, 75, axis=0)
    least, part = _SHUT
    shut = np.clip(
        np.percentile(gap, 1, axis=0), least, np.maximum(part * usual, least)
    )
    span = np.maximum(usual - shut, 0.02)
    return np.clip((usual - gap) / span, 0.0, 1.0).astype(np.float32)


def gaze_angles(
    landmarks: Float[np.ndarray, "frames 478 2"],
    track: HeadTrack,
    shape: FaceShape,
    blink: Float[np.ndarray, "frames 2"],
) -> Float[np.ndarray, "frames 4"]:
    """Return left yaw, left pitch, right yaw, right pitch; shut eyes are bridged."""
    neutral = shape.mean + np.tensordot(track.identity, shape.identity, 1)
    looks = []
    for index in (_LEFT_IRIS, _RIGHT_IRIS):
        centre = neutral[index] - np.array([0.0, 0.0, _EYE_RADIUS])
        looks.append(_look(landmarks[:, index], track, centre))
    open_eye = (blink < 0.5).astype(np.float64) + 1e-6
    share = open_eye / open_eye.sum(-1, keepdims=True)
    look = np.einsum("efi,fe->fi", np.stack(looks), share)
    yaw = np.arctan2(look[:, 0], look[:, 2]) / _YAW_GAIN
    sine = look[:, 1] / np.linalg.norm(look, axis=-1)
    pitch = (np.arcsin(sine) - _PITCH_OFFSET) / _PITCH_GAIN
    known = blink.min(-1) < 0.5
    angles = np.stack([_bridged(yaw, known), _bridged(pitch, known)], -1)
    angles = median_filter(angles, size=(3, 1), mode="nearest")
    return np.tile(np.clip(angles, -_LIMIT, _LIMIT), 2).astype(np.float32)


def _look(
    seen: Float[np.ndarray, "frames 2"], track: HeadTrack, centre: np.ndarray
) -> Float[np.ndarray, "frames 3"]:
    """Return unit directions from the eye's centre to the seen iris, head frame."""
    plane = (seen - np.array(track.centre)) / track.focal
    ray = np.concatenate([plane, np.ones((len(plane), 1))], -1)
    ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    ray = np.einsum("fji,fj->fi", track.rotation, ray)
    camera = -np.einsum("fji,fj->fi", track.rotation, track.translation)
    to_eye = centre - camera
    along = (ray * to_eye).sum(-1)
    miss = (to_eye**2).sum(-1) - along**2
    # A ray that misses the ball is taken to touch its rim.
    depth = along - np.sqrt(np.maximum(_EYE_RADIUS**2 - miss, 0.0))
    look = camera + depth[:, None] * ray - centre
    return look / np.linalg.norm(look, axis=-1, keepdims=True)


def _bridged(
    values: Float[np.ndarray, " frames"], known: np.ndarray
) -> Float[np.ndarray, " frames"]:
    if not known.any():
        return np.zeros_like(values)
    index = np.arange(len(values))
    return np.interp(index, index[known], values[known])
