"""Painting of small triangle meshes: what a camera sees of them, and how far it is.

Comes in: vertices in the head frame, triangles and an EG3D label. Goes out: the
triangle of every pixel, where on it, and the distance along the ray. Triangles are
painted from far to near, which is right for small ones.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int

from talk3d.camera import project

__all__ = ["Painted", "paint"]

_SHIFT = 4


@dataclass(frozen=True)
class Painted:
    """What a camera sees of a mesh."""

    triangle: Int[np.ndarray, "size size"]
    """Triangle of each pixel; -1 where there is none."""
    weights: Float[np.ndarray, "size size 3"]
    """Where on the triangle."""
    depth: Float[np.ndarray, "size size"]
    """Distance along the ray, world units; 0 where there is nothing."""


def paint(
    vertices: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "t 3"],
    label: Float[np.ndarray, " 25"],
    *,
    size: int,
) -> Painted:
    """Draw a mesh of small triangles, far ones first.

    Args:
        vertices: World units, head frame.
        triangles: Vertex indices.
        label: The camera.
        size: Pixels per side.
    """
    place, distance = project(torch.from_numpy(vertices), torch.from_numpy(label))
    corners = (place.numpy() * size)[triangles]
    far_first = np.argsort(-distance.numpy()[triangles].mean(1))
    canvas = np.full((size, size), -1, np.int32)
    fixed = np.round((corners - 0.5) * 2**_SHIFT).astype(np.int32)
    for index in far_first:
        cv2.fillConvexPoly(canvas, fixed[index], int(index), shift=_SHIFT)
    inside = canvas >= 0
    weights = np.zeros((size, size, 3), np.float32)
    rows, columns = np.nonzero(inside)
    pixels = np.stack([columns, rows], -1) + 0.5
    weights[inside] = _on_triangle(pixels, corners[canvas[inside]])
    depth = np.zeros((size, size), np.float32)
    along = distance.numpy()[triangles[canvas[inside]]]
    depth[inside] = (weights[inside] * along).sum(-1)
    return Painted(canvas, weights, depth)


def _on_triangle(
    points: Float[np.ndarray, "n 2"], corners: Float[np.ndarray, "n 3 2"]
) -> Float[np.ndarray, "n 3"]:
    """Return barycentric weights, pulled into the triangle."""
    a, b, c = (corners[:, k].astype(np.float64) for k in range(3))
    ab, ac, ap = b - a, c - a, points - a
    area = _cross(ab, ac)
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second, third = _cross(ap, ac) / area, _cross(ab, ap) / area
    weights = np.clip(np.stack([1 - second - third, second, third], -1), 0, 1)
    return weights / weights.sum(-1, keepdims=True)


def _cross(
    a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
