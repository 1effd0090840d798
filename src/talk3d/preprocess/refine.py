"""Sharpen the head poses by following fine detail of skin, hair and ears.

Comes in: the crops of a video with a head track from landmarks. Goes out: the track
with poses that keep the pictures of the head in register. Landmarks are jittery and
biased by a part of a pixel; detail can be followed to a few hundredths.

In a few key frames spread over the head's turns, corners are picked on what moves
rigidly with the skull (not mouth, chin, eyes). Every frame is warped by a rough head
surface to the nearest key frames, where optical flow finds the corners. A bundle
adjustment (``bundle.py``) makes poses and places of the corners agree.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from talk3d.face import FaceShape
from talk3d.preprocess.bundle import Sightings, adjust_poses, solve_structure
from talk3d.preprocess.crop import Crop
from talk3d.preprocess.pose import HeadTrack
from talk3d.rigid import fine_detail, rigid_area

__all__ = ["refine_track"]

_Grey = UInt8[np.ndarray, "size size"]
_Loader = Callable[[int], tuple[UInt8[np.ndarray, "size size 3"], _Grey]]

_KEYS = (3, 6)
_KEY_STEP = np.radians(7.0)
_NEAREST = 3
_CORNERS = 140
_STRUCTURE_FRAMES = 400
_GRID = 4
"""The warp is computed at every so many pixels."""
_SKULL = np.array([0.0, 0.03, -0.06])
_SKULL_AXES = np.array([0.21, 0.30, 0.29])
"""Centre and half axes of an ellipsoid where there is no face, world units."""
_BACK = -0.1
_FACE_SPREAD, _SKULL_SPREAD = 0.01, 0.2
"""How far the rough surface may be wrong, world units of 40 cm: hair stands off."""
_NEIGHBOURS = 6
_NOISE = 0.25
_WINDOW = 15
_ROUND_TRIP = 0.4
_FAR = 6.0


@dataclass(frozen=True)
class _Key:
    """A key frame with its corners."""

    frame: int
    picture: _Grey
    surface: Float[np.ndarray, "rows columns 3"]
    """Head-frame point seen at every grid place."""
    corners: Float[np.ndarray, "n 2"]
    """Crop pixels, counted from the first pixel's centre."""
    points: Float[np.ndarray, "n 3"]
    spread: Float[np.ndarray, "n 3"]


def refine_track(
    track: HeadTrack,
    crop: Crop,
    landmarks: Float[np.ndarray, "frames 478 2"],
    shape: FaceShape,
    load: _Loader,
) -> HeadTrack:
    """Return the track with poses refined by the pictures.

    Args:
        track: Poses from landmarks.
        crop: The square the crops show.
        landmarks: Crop coordinates, 0 to 1.
        shape: The face shape.
        load: Gives the crop and the matte of a frame.
    """
    frames = key_frames(track)
    keys = [
        _make_key(int(k), track, crop, landmarks[k], shape, load(int(k)))
        for k in frames
    ]
    sightings = _follow(keys, track, crop, load)
    if not sightings.seen.any():
        return track
    chosen = np.unique(
        np.concatenate(
            [
                np.linspace(
                    0, len(landmarks) - 1, min(_STRUCTURE_FRAMES, len(landmarks))
                ).astype(int),
                frames,
            ]
        )
    )
    part = replace(
        track,
        rotation=track.rotation[chosen],
        translation=track.translation[chosen],
    )
    _, points, noise = solve_structure(part, sightings.part(chosen))
    return adjust_poses(track, replace(sightings, noise=noise), points)


def key_frames(track: HeadTrack) -> Int[np.ndarray, " keys"]:
    """Choose frames that cover the head's turns (farthest-point sampling)."""
    middle = Rotation.from_matrix(track.rotation).mean()
    turns = (Rotation.from_matrix(track.rotation) * middle.inv()).as_rotvec()
    least, most = _KEYS
    chosen = [int(np.linalg.norm(turns, axis=1).argmin())]
    near = np.linalg.norm(turns - turns[chosen[0]], axis=1)
    while len(chosen) < min(most, len(turns)):
        if len(chosen) >= least and near.max() < _KEY_STEP:
            break
        chosen.append(int(near.argmax()))
        near = np.minimum(near, np.linalg.norm(turns - turns[chosen[-1]], axis=1))
    return np.array(chosen)


def _to_pixels(
    points: Float[np.ndarray, "*n 3"], frame: int, track: HeadTrack, crop: Crop
) -> Float[np.ndarray, "*n 2"]:
    """Project head-frame points to crop pixels counted from pixel centres."""
    seen = points @ track.rotation[frame].T + track.translation[frame]
    flat = seen[..., :2] / seen[..., 2:] * track.focal + np.array(track.centre)
    return (flat - np.array([crop.x, crop.y])) * crop.scale - 0.5


def _surface(
    frame: int, track: HeadTrack, crop: Crop, shape: FaceShape
) -> tuple[Float[np.ndarray, "rows columns 3"], Bool[np.ndarray, "rows columns"]]:
    """Return the head point seen at each grid place, and where that is the face."""
    neutral = shape.mean + np.tensordot(track.identity, shape.identity, 1)
    face = neutral[:468] + np.tensordot(
        track.expression[frame], shape.expression[:, :468], 1
    )
    seen = face @ track.rotation[frame].T + track.translation[frame]
    places = _to_pixels(face, frame, track, crop)
    steps = np.arange(0, crop.size + _GRID, _GRID, dtype=np.float64)
    x, y = np.meshgrid(steps, steps)
    pixel = np.stack([x, y], -1)
    gap, near = KDTree(places).query(pixel, k=_NEIGHBOURS)
    share = 1 / (gap**2 + 1.0)
    depth = (seen[near, 2] * share).sum(-1) / share.sum(-1)
    flat = (pixel + 0.5) / crop.scale + [crop.x, crop.y] - np.array(track.centre)
    ray = np.concatenate([flat / track.focal, np.ones((*x.shape, 1))], -1)
    hull = np.zeros(x.shape, np.uint8)
    outline = cv2.convexHull((places / _GRID).round().astype(np.int32))
    on_face = cv2.fillConvexPoly(hull, outline, 1) > 0
    turn, shift = track.rotation[frame], track.translation[frame]
    camera, ray_head = -shift @ turn, ray @ turn
    skull = camera + _skull_distance(camera, ray_head)[..., None] * ray_head
    point = np.where(
        on_face[..., None],
        camera + depth[..., None] * ray_head,
        skull,
    )
    return point, on_face


def _skull_distance(
    camera: Float[np.ndarray, "3"], ray: Float[np.ndarray, "rows columns 3"]
) -> Float[np.ndarray, "rows columns"]:
    """Return how far along a ray the ellipsoid is; beside it, the plane of the ears."""
    start, way = (camera - _SKULL) / _SKULL_AXES, ray / _SKULL_AXES
    square = (way**2).sum(-1)
    half = (way @ start) / square
    inside = half**2 - ((start**2).sum() - 1) / square
    hit = -half - np.sqrt(np.maximum(inside, 0.0))
    plane = (_BACK - camera[2]) / ray[..., 2]
    return np.where(inside > 0, np.minimum(hit, plane), plane)


def _sample(
    field: Float[np.ndarray, "rows columns k"], places: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n k"]:
    """Sample a grid field at crop pixels."""
    if not len(places):
        return np.zeros((0, field.shape[-1]), np.float32)
    where = (places / _GRID).astype(np.float32)
    found = cv2.remap(
        field.astype(np.float32),
        where[:, None, 0],
        where[:, None, 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found.reshape(len(places), field.shape[-1])


def _make_key(
    frame: int,
    track: HeadTrack,
    crop: Crop,
    landmarks: Float[np.ndarray, "478 2"],
    shape: FaceShape,
    pictures: tuple[UInt8[np.ndarray, "size size 3"], _Grey],
) -> _Key:
    picture = fine_detail(pictures[0])
    surface, on_face = _surface(frame, track, crop, shape)
    mask = rigid_area(landmarks, pictures[1])
    corners = cv2.goodFeaturesToTrack(
        picture, _CORNERS, 0.005, crop.size / 50, mask=mask, blockSize=7
    )
    corners = (
        np.zeros((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)
    )
    known = _sample(on_face.astype(np.float32)[..., None], corners)[:, 0]
    deep = np.where(known > 0.9, _FACE_SPREAD, _SKULL_SPREAD)
    spread = np.stack([0.5 * deep, 0.5 * deep, deep], -1)
    points = _sample(surface, corners).astype(np.float64)
    return _Key(frame, picture, surface, corners, points, spread)


def _follow(keys: list[_Key], track: HeadTrack, crop: Crop, load: _Loader) -> Sightings:
    """Find the corners of the nearest key frames in every frame."""
    count = len(track.rotation)
    starts = np.cumsum([0, *(len(key.corners) for key in keys)])
    places = np.zeros((count, int(starts[-1]), 2), np.float32)
    seen = np.zeros((count, int(starts[-1])), bool)
    turns = Rotation.from_matrix(track.rotation)
    far = np.stack([(turns * turns[key.frame].inv()).magnitude() for key in keys], -1)
    for frame in range(count):
        picture = fine_detail(load(frame)[0])
        for k in np.argsort(far[frame])[:_NEAREST].tolist():
            columns = slice(starts[k], starts[k + 1])
            if starts[k] == starts[k + 1]:
                continue
            found, good = _flow(keys[k], picture, frame, track, crop)
            places[frame, columns] = found
            seen[frame, columns] = good
    # In place: for a long video this is the largest array.
    places += 0.5
    places /= crop.scale
    places += np.array([crop.x, crop.y], np.float32)
    return Sightings(
        places,
        seen,
        np.concatenate([key.points for key in keys]),
        np.concatenate([key.spread for key in keys]),
        np.full(int(starts[-1]), _NOISE / crop.scale),
    )


def _flow(
    key: _Key, picture: _Grey, frame: int, track: HeadTrack, crop: Crop
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """Return where the key frame's corners are in a frame, crop pixels."""
    coarse = _to_pixels(key.surface, frame, track, crop).astype(np.float32)
    steps = np.arange(crop.size, dtype=np.float32) / _GRID
    x, y = np.meshgrid(steps, steps)
    where = cv2.remap(coarse, x, y, cv2.INTER_LINEAR)
    warped = cv2.remap(
        picture,
        where[..., 0],
        where[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    options = {"winSize": (_WINDOW, _WINDOW), "maxLevel": 2}
    start = key.corners[:, None]
    there, good, _ = cv2.calcOpticalFlowPyrLK(
        key.picture, warped, start, start.copy(), **options
    )
    back, found, _ = cv2.calcOpticalFlowPyrLK(
        warped, key.picture, there, there.copy(), **options
    )
    trip = np.linalg.norm((back - start)[:, 0], axis=-1)
    shift = np.linalg.norm((there - start)[:, 0], axis=-1)
    kept = (good[:, 0] > 0) & (found[:, 0] > 0) & (trip < _ROUND_TRIP) & (shift < _FAR)
    return _sample(coarse, there[:, 0]), kept
