"""Cast points of a picture onto a mesh.

In: image points and a mesh in the picture. Out: the places on its triangles.
"""

import numpy as np
from jaxtyping import Float, Int

from talk3d.synthetic.skull import Roots

__all__ = ["cast_points"]


def cast_points(
    points: Float[np.ndarray, "points 2"],
    screen: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    *,
    among: Int[np.ndarray, " candidates"],
    snap: float = 0.0,
) -> Roots:
    """Cast image points onto the nearest front-facing triangles.

    Args:
        points: image points, 0 to 1.
        screen: the mesh in the picture: column, row (0 to 1), depth.
        triangles: vertex indices.
        among: triangles that may be hit.
        snap: points that hit nothing go to an edge not farther than this.

    Returns:
        The hits; weights are NaN where nothing was hit.
    """
    place = screen[triangles[among]]
    flat = place[..., :2]
    area = _cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])
    front = area < -1e-12
    index, place, flat, area = among[front], place[front], flat[front], area[front]
    low, high = flat.min(1) - snap, flat.max(1) + snap
    face, weights = np.zeros(len(points), np.int64), np.full((len(points), 3), np.nan)
    for k, point in enumerate(points):
        near = np.flatnonzero(((point >= low) & (point <= high)).all(1))
        if not len(near):
            continue
        bary, miss = _flat_weights(point, flat[near], area[near])
        depth = 1 / (bary / place[near, :, 2]).sum(1)
        order = np.where(miss <= 1e-9, depth, np.inf)
        chosen = int(order.argmin()) if np.isfinite(order).any() else int(miss.argmin())
        if miss[chosen] > max(snap, 1e-9):
            continue
        true = bary[chosen] / place[near[chosen], :, 2]
        face[k], weights[k] = index[near[chosen]], true / true.sum()
    return Roots(face, triangles[face], weights)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _flat_weights(
    point: np.ndarray, corners: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the closest point of flat triangles, and its distance."""
    a, b, c = (corners[:, k] for k in range(3))
    inner = (
        np.stack([_cross(b - point, c - point), _cross(c - point, a - point)], 1)
        / (area[:, None])
    )
    inner = np.c_[inner, 1 - inner.sum(1)]
    best, miss = inner.copy(), np.where((inner >= -1e-6).all(1), 0.0, np.inf)
    for k in range(3):
        start, along = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        t = ((point - start) * along).sum(1) / ((along**2).sum(1) + 1e-18)
        t = np.clip(t, 0, 1)
        away = np.linalg.norm(start + t[:, None] * along - point, axis=1)
        closer = away < miss
        edge = np.zeros_like(inner)
        edge[:, k], edge[:, (k + 1) % 3] = 1 - t, t
        best[closer], miss[closer] = edge[closer], away[closer]
    return best, miss
