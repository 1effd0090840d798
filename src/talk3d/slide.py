"""How the landmark network's points slide over the skin of a turned head.

On a turned head the network marks the visible outline, not the same skin. The mean
effect over rendered people is a polynomial in the direction of the head: fitted here to
what was measured, and told for a view.
"""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["fit_slide", "view_basis", "view_slide"]

_SURE_MISS = 0.03
"""Views in which the points miss by more (median, world units) are left out."""


def view_slide(
    slide: Float[np.ndarray, "terms 478 2"], rotation: Float[np.ndarray, "frames 3 3"]
) -> Float[np.ndarray, "frames 478 2"]:
    """Return by how much the network's points miss the surface points in each view.

    On a turned head the network marks the visible outline, not the same skin. The mean
    effect over rendered people is a polynomial in the direction of the head.

    Args:
        slide: Its coefficients, see ``FaceShape``.
        rotation: Head frame to camera axes.

    Returns:
        Offsets right and down in the picture, world units at the head's distance.
    """
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    cos, sin = np.cos(roll), np.sin(roll)
    upright = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    forward = rotation[:, :, 2]
    side = np.einsum("fij,fj->fi", upright, forward[:, :2])
    yaw, pitch = np.arctan2(side[:, 0], -forward[:, 2]), -np.arcsin(side[:, 1])
    degree = {6: 2, 10: 3}[len(slide)]
    return np.tensordot(view_basis(yaw, pitch, degree=degree), slide, 1) @ upright


def view_basis(
    yaw: Float[np.ndarray, " views"],
    pitch: Float[np.ndarray, " views"],
    *,
    degree: int,
) -> Float[np.ndarray, "views terms"]:
    """Return the products of two angles, radians: 1, y, p, yy, yp, pp, ..."""
    pairs = [(n - k, k) for n in range(degree + 1) for k in range(n + 1)]
    return np.stack([yaw**a * pitch**b for a, b in pairs], -1)


def fit_slide(
    error: Float[np.ndarray, "views points 2"],
    labels: Float[np.ndarray, "views 25"],
    mirror: Int[np.ndarray, " points"],
    *,
    degree: int,
) -> Float[np.ndarray, "terms points 2"]:
    """Fit how points slide with the view: coefficients of ``view_basis``.

    Args:
        error: found minus true points, 0 to 1.
        labels: cameras in the head frame, upright.
        mirror: the partner of each point; views and their mirror images count alike.
        degree: of the polynomial.

    Returns:
        Offsets (right, down) in world units at the head's distance; y and p are the
        direction of the head's z axis in the camera.
    """
    pose = labels[:, :16].reshape(-1, 4, 4).astype(np.float64)
    forward = np.linalg.inv(pose)[:, :3, 2]
    distance = -(pose[:, :3, 3] * pose[:, :3, 2]).sum(1)
    offset = error * (distance / labels[:, 16])[:, None, None]
    yaw = np.arctan2(forward[:, 0], -forward[:, 2])
    pitch = -np.arcsin(forward[:, 1])
    both = np.concatenate([offset, offset[:, mirror] * [-1, 1]])
    y, p = np.r_[yaw, -yaw], np.r_[pitch, pitch]
    sure = np.median(np.linalg.norm(both, axis=2), 1) < _SURE_MISS
    basis = view_basis(y, p, degree=degree)[sure]
    count = basis.shape[1]
    gram = basis.T @ basis + 1e-3 * np.eye(count)
    moment = np.tensordot(basis, both[sure], (0, 0)).reshape(count, -1)
    return np.linalg.solve(gram, moment).reshape(count, -1, 2).astype(np.float32)
