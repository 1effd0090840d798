"""Ambient occlusion of the mean head: how much of the sky each vertex sees.

Depth maps from a Fibonacci sphere of directions, weighted by the cosine.
"""

import numpy as np
from jaxtyping import Float

from talk3d.synthetic.buffers import MeshBuffer
from talk3d.synthetic.gl import moderngl, set_matrices
from talk3d.synthetic.head import HeadModel, to_world

__all__ = ["bake_occlusion", "parallel_view"]

_DIRECTIONS = 80
_SIZE = 512
_LIFT = 0.006
"""How far above the surface (world units) the sky is looked for."""
_HALF = (0.62, 0.62, 1.2)
"""Half of the box around the head that is looked at, world units."""


def parallel_view(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Return the projection along ``direction``, a unit vector toward the light."""
    steep = abs(direction[1]) >= 0.95
    up = np.array([1.0, 0, 0]) if steep else np.array([0, 1.0, 0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = np.stack([right, np.cross(direction, right), direction])
    x, y, z = _HALF
    return np.diag([1 / x, 1 / y, -1 / z, 1.0]) @ view


def bake_occlusion(
    context: moderngl.Context,
    program: moderngl.Program,
    head: HeadModel,
    meshes: list[MeshBuffer],
) -> Float[np.ndarray, " vertices"]:
    """Measure the open share of the sky at the vertices of the mean head.

    Args:
        context: the OpenGL context.
        program: the depth-only program ``mesh shadow``, head at rest.
        head: the head model.
        meshes: what hides the sky.
    """
    points, normals = to_world(head.neutral), head.normals(head.neutral)
    depth = context.depth_texture((_SIZE, _SIZE))
    target = context.framebuffer(depth_attachment=depth)
    context.enable(moderngl.DEPTH_TEST)
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    for direction in _sphere(_DIRECTIONS):
        view = parallel_view(direction)
        target.use()
        target.clear(depth=1.0)
        set_matrices(program, {"toClip": view})
        for mesh in meshes:
            mesh.draw("mesh shadow")
        nearest = np.frombuffer(depth.read(alignment=4), np.float32)
        nearest = nearest.reshape(_SIZE, _SIZE)
        clip = (points + normals * _LIFT) @ view[:3, :3].T * 0.5 + 0.5
        column, row = np.clip((clip[:, :2] * _SIZE).astype(int), 0, _SIZE - 1).T
        weight = np.maximum(0, normals @ direction)
        seen += weight * (clip[:, 2] - 0.003 <= nearest[row, column])
        total += weight
    return (seen / np.maximum(total, 1e-6)).astype(np.float32)


def _sphere(count: int) -> np.ndarray:
    k = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.stack(
        [
            np.cos(azimuth) * np.sin(polar),
            np.cos(polar),
            np.sin(azimuth) * np.sin(polar),
        ],
        1,
    )
