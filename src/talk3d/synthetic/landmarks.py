"""Where the 478 face landmarks lie on a head model.

In: the measured face shape that ships with the package. Out: points on the mesh's
triangles, which follow identity, expression and gaze.
"""

from importlib import resources

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load
from scipy.spatial import KDTree

from talk3d.synthetic.head import (
    CM_PER_UNIT,
    ORIGIN_Y,
    PARTS,
    HeadModel,
    expression_indices,
)
from talk3d.synthetic.skull import Roots

__all__ = ["FACE_POINTS", "POINTS", "closest_points", "landmark_points"]

POINTS, FACE_POINTS = 478, 468
_SAME_CM = 0.1
"""If the stored triangles give the stored points this well, the mesh is the same."""
_CANDIDATES = 40
"""Triangles looked at per point: those with the nearest centres."""
_JAW = 0.2
"""The lips are told apart with the jaw this far open."""


def landmark_points(head: HeadModel) -> Roots:
    """Return the landmarks as points on the head's triangles.

    On the head model they were measured on, the stored triangles are used. On another
    one the closest points of its surface take their place.
    """
    data = load(
        (resources.files("talk3d") / "data/face_shape.safetensors").read_bytes()
    )
    mean = _to_cm(data["mean"])
    triangle = data["triangle"].astype(np.int64)
    if triangle.max() < len(head.triangles):
        points = Roots(triangle, head.triangles[triangle], data["barycentric"])
        if np.abs(points.on(head.neutral) - mean).max() < _SAME_CM:
            return points
    jaw = expression_indices("jawOpen")[0]
    target = mean + _JAW * data["expression"][jaw] * CM_PER_UNIT
    posed = head.neutral + _JAW * head.expression[jaw]
    parts = head.triangle_part
    skin = np.flatnonzero(parts <= PARTS.index("headneck"))
    eyes = np.flatnonzero(np.isin(parts, [PARTS.index(f"sclera{s}") for s in "LR"]))
    face = closest_points(target[:FACE_POINTS], posed, head.triangles, among=skin)
    iris = closest_points(target[FACE_POINTS:], posed, head.triangles, among=eyes)
    return Roots(
        np.r_[face.face, iris.face],
        np.concatenate([face.corners, iris.corners]),
        np.concatenate([face.weights, iris.weights]),
    )


def closest_points(
    points: Float[np.ndarray, "points 3"],
    vertices: Float[np.ndarray, "vertices 3"],
    triangles: np.ndarray,
    *,
    among: np.ndarray,
) -> Roots:
    """Return the closest points of a mesh, looking only at some triangles."""
    corners = vertices[triangles[among]].astype(np.float64)
    near = min(_CANDIDATES, len(among))
    rows = KDTree(corners.mean(1)).query(points, k=near)[1].reshape(-1, near)
    candidates = corners[rows]
    target = points[:, None].astype(np.float64)
    inner = _project(target, candidates)
    inner[(inner < 0).any(-1)] = np.nan
    every = np.stack([inner, *(_on_edge(target, candidates, k) for k in range(3))], 1)
    place = (every[..., None] * candidates[:, None]).sum(-2)
    far = np.linalg.norm(place - target[:, None], axis=-1)
    best = np.nan_to_num(far, nan=np.inf).reshape(len(points), -1).argmin(1)
    kind, column = np.unravel_index(best, far.shape[1:])
    point = np.arange(len(points))
    index = among[rows[point, column]]
    return Roots(index, triangles[index], every[point, kind, column])


def _project(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return barycentric weights of the foot point on each triangle's plane."""
    a = corners[..., 0, :]
    ab, ac = corners[..., 1, :] - a, corners[..., 2, :] - a
    normal = np.cross(ab, ac)
    size = (normal**2).sum(-1) + 1e-18
    second = (np.cross(point - a, ac) * normal).sum(-1) / size
    third = (np.cross(ab, point - a) * normal).sum(-1) / size
    return np.stack([1 - second - third, second, third], -1)


def _on_edge(point: np.ndarray, corners: np.ndarray, edge: int) -> np.ndarray:
    """Return barycentric weights of the closest point on one edge."""
    start, end = corners[..., edge, :], corners[..., (edge + 1) % 3, :]
    along = end - start
    t = ((point - start) * along).sum(-1) / ((along**2).sum(-1) + 1e-18)
    weights = np.zeros(corners.shape[:-1])
    weights[..., (edge + 1) % 3] = np.clip(t, 0, 1)
    weights[..., edge] = 1 - weights[..., (edge + 1) % 3]
    return weights


def _to_cm(points: np.ndarray) -> np.ndarray:
    """Convert world units to model centimetres."""
    return points * CM_PER_UNIT + np.array([0, ORIGIN_Y, 0])
