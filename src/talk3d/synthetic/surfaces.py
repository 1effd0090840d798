"""Build surfaces from points: triangles, one refinement, rims and strips.

*Fields* are the rest shape and linear offsets of the same vertices, stacked.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

__all__ = [
    "Fields",
    "Piece",
    "inside_polygon",
    "loop_subdivision",
    "open_rims",
    "strip",
]

Fields = Float[np.ndarray, "fields vertices 3"]


@dataclass(frozen=True)
class Piece:
    """Part of a head."""

    fields: Fields
    """Rest shape and offsets."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Vertex indices, counter-clockwise from outside."""
    uv: Float[np.ndarray, "vertices 2"]
    """Texture coordinates."""
    part: str
    """Name of the part, see ``talk3d.synthetic.head.PARTS``."""


def inside_polygon(
    points: Float[np.ndarray, "points 2"], polygon: Float[np.ndarray, "corners 2"]
) -> Bool[np.ndarray, " points"]:
    """Return which points lie inside a polygon: crossings of a ray to the right."""
    result = np.zeros(len(points), bool)
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        spans = (start[1] > points[:, 1]) != (end[1] > points[:, 1])
        rise = end[1] - start[1]
        slope = (end[0] - start[0]) / (rise if rise else 1.0)
        result ^= spans & (points[:, 0] < start[0] + slope * (points[:, 1] - start[1]))
    return result


def loop_subdivision(
    triangles: Int[np.ndarray, "triangles 3"], count: int
) -> tuple[scipy.sparse.csr_array, Int[np.ndarray, "fine 3"]]:
    """Return weights and triangles of one step of Loop's scheme (Loop 1987).

    Vertex ``k`` stays vertex ``k``; boundaries follow the cubic B-spline rule.
    """
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1, 3)
    opposite = triangles[:, [2, 0, 1]]
    uses = np.bincount(inverse.ravel(), minlength=len(unique))
    rim = uses == 1
    matrix = scipy.sparse.lil_array((count + len(unique), count))
    rows = count + np.arange(len(unique))
    for k in (0, 1):
        matrix[rows, unique[:, k]] = np.where(rim, 0.5, 0.375)
    for corner in range(3):
        for edge, vertex in zip(inverse[:, corner], opposite[:, corner], strict=True):
            if not rim[edge]:
                matrix[count + edge, vertex] += 0.125
    neighbours: list[list[int]] = [[] for _ in range(count)]
    rims: list[list[int]] = [[] for _ in range(count)]
    for (a, b), border in zip(unique, rim, strict=True):
        for here, there in ((a, b), (b, a)):
            (rims if border else neighbours)[here].append(there)
    for vertex in range(count):
        around = rims[vertex] or neighbours[vertex]
        share = 0.125 if rims[vertex] else _loop_weight(len(around))
        matrix[vertex, vertex] = 1 - share * len(around)
        for other in around:
            matrix[vertex, other] += share
    a, b, c = triangles.T
    ab, bc, ca = (count + inverse).T
    fine = np.stack([[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]])
    return matrix.tocsr(), fine.transpose(0, 2, 1).reshape(-1, 3)


def _loop_weight(count: int) -> float:
    return (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / count)) ** 2) / count


def open_rims(triangles: Int[np.ndarray, "triangles 3"]) -> list[list[int]]:
    """Return the open edges as closed loops, the longest first."""
    directed = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    known = {(int(a), int(b)) for a, b in directed}
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start, vertex = following.popitem()
        loop = [start]
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(loop)
    return sorted(loops, key=len, reverse=True)


def strip(rings: list[Fields], uv: tuple[float, float], part: str) -> Piece:
    """Join closed rings of equal length, from the outside inward."""
    count = rings[0].shape[1]
    fields = np.concatenate(rings, 1)
    k = np.arange(count)
    following = (k + 1) % count
    triangles = []
    for ring in range(len(rings) - 1):
        a, b = ring * count, (ring + 1) * count
        triangles += [
            np.stack([a + k, b + k, a + following], 1),
            np.stack([a + following, b + k, b + following], 1),
        ]
    return Piece(
        fields, np.concatenate(triangles), np.tile(uv, (fields.shape[1], 1)), part
    )
