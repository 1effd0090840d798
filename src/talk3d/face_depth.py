"""How far the face is in every pixel, from the landmarks tracked in a recording.

Comes in: a subject. Goes out: maps of the distance along the ray, where skin of the
face is seen squarely; nothing is said of eyes, mouth and outline. Hair before the skin
is not known of. One frontal camera leaves depth to the prior; landmarks of a face model
measured on many heads say more.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import Delaunay

from talk3d.camera import project
from talk3d.dataset import Subject
from talk3d.face import INNER_LIPS, LEFT_EYE, RIGHT_EYE, load_face_shape
from talk3d.painting import paint

__all__ = ["FaceDepth", "fit_identity"]

_FITTED_FRAMES = 24
_RIDGE = 2e-6
_ROUNDS = 3
_SKIN_POINTS = 468
_SQUARE = 0.4
"""Least cosine between the skin's normal and the line of sight."""

Labels = Float[np.ndarray, "25"]


class FaceDepth:
    """The face of a recording as a surface through its landmarks."""

    def __init__(self, subject: Subject) -> None:
        """Take the face's shape from the tracking, or find it anew."""
        arrays, shape = subject.arrays, load_face_shape()
        tracked = subject.info["report"].get("identity")
        if tracked is None:
            train = np.array(subject.train)
            identity = fit_identity(subject, train[arrays["valid"][train] > 0])
        else:
            identity = np.array(tracked, np.float32)
        self._neutral = shape.mean + np.tensordot(identity, shape.identity, 1)
        self._moves = shape.expression
        self._expression, self._camera = arrays["expression"], arrays["camera"]

    def map(self, frame: int, size: int) -> Float[np.ndarray, "size size"]:
        """Return the distance of the skin in every pixel of a frame.

        Args:
            frame: Index in the subject.
            size: Pixels per side.

        Returns:
            World units along the ray; 0 where it is not known.
        """
        moved = np.tensordot(self._expression[frame], self._moves, 1)
        points = (self._neutral + moved).astype(np.float32)
        label = self._camera[frame].astype(np.float32)
        triangles = _triangles()
        seen = paint(points, triangles, label, size=size)
        square = np.append(_squareness(points, triangles, label) > _SQUARE, False)
        return np.where(square[seen.triangle], seen.depth, np.float32(0))


def fit_identity(
    subject: Subject, frames: Int[np.ndarray, " frames"]
) -> Float[np.ndarray, " modes"]:
    """Fit the identity weights of the face model to the landmarks of some frames.

    With known cameras a landmark's picture is nearly linear in the weights: three
    Gauss-Newton steps of ridge-regularised least squares (a weight of 1 is one
    standard deviation).
    """
    shape = load_face_shape()
    chosen = frames[np.linspace(0, len(frames) - 1, _FITTED_FRAMES).astype(int)]
    arrays, modes = subject.arrays, len(shape.identity)
    weights = np.zeros(modes)
    for _ in range(_ROUNDS):
        normal, right = _RIDGE * len(chosen) * 478 * np.eye(modes), np.zeros(modes)
        right -= normal @ weights
        for frame in chosen:
            points = (
                shape.mean
                + np.tensordot(weights, shape.identity, 1)
                + np.tensordot(arrays["expression"][frame], shape.expression, 1)
            ).astype(np.float32)
            label = arrays["camera"][frame]
            place = _projected(points, label)
            slopes = [
                (_projected(points + mode, label) - place).ravel()
                for mode in shape.identity
            ]
            jacobian = np.stack(slopes, -1)
            off = (arrays["landmarks"][frame] - place).ravel()
            normal += jacobian.T @ jacobian
            right += jacobian.T @ off
        weights = weights + np.linalg.solve(normal, right)
    return weights.astype(np.float32)


@lru_cache(maxsize=1)
def _triangles() -> Int[np.ndarray, "triangles 3"]:
    """Return triangles over the skin: of the mean face seen from the front.

    Counter-clockwise; none across eyes and mouth.
    """
    points = load_face_shape().mean[:_SKIN_POINTS]
    triangles = Delaunay(points[:, :2]).simplices
    holes = (LEFT_EYE, RIGHT_EYE, INNER_LIPS)
    across = [np.isin(triangles, hole).all(1) for hole in holes]
    triangles = triangles[~np.any(across, axis=0)]
    a, b, c = (points[triangles[:, k]] for k in range(3))
    backward = np.cross(b - a, c - a)[:, 2] < 0
    triangles[backward] = triangles[backward][:, ::-1]
    return triangles.astype(np.int64)


def _squareness(
    points: Float[np.ndarray, "478 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    label: Labels,
) -> Float[np.ndarray, " triangles"]:
    """Return the cosine between each triangle's normal and the line to the camera."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    toward = label[[3, 7, 11]] - a
    lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(toward, axis=-1)
    return (normal * toward).sum(-1) / np.maximum(lengths, 1e-12)


def _projected(
    points: Float[np.ndarray, "478 3"], label: Labels
) -> Float[np.ndarray, "478 2"]:
    return project(torch.from_numpy(points), torch.from_numpy(label))[0].numpy()
