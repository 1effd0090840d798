"""The skin that hair grows on: roots on the mean head, and a person's skull as a map.

All lengths are centimetres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, grey_dilation
from scipy.spatial import KDTree

from talk3d.synthetic.cards import unit
from talk3d.synthetic.head import PARTS, HeadModel
from talk3d.synthetic.regions import scalp_field

__all__ = [
    "SKULL_CENTRE",
    "Roots",
    "SkullMap",
    "Surface",
    "draw_roots",
    "skin_surface",
]

SKULL_CENTRE = np.array([0, 4.5, 0.3])


@dataclass(frozen=True)
class Surface:
    """The skin of the mean head, prepared for sowing hair."""

    head: HeadModel
    """The model."""
    triangles: np.ndarray
    """Triangles of face and neck."""
    area: np.ndarray
    """Their areas, cm²."""
    scalp: np.ndarray
    """Mean scalp distance of each triangle, cm."""
    ear_distance: np.ndarray
    """Distance of each triangle to the nearer ear, cm."""
    skull: np.ndarray
    """Vertices that hair must not enter; ears and neck left out."""


@dataclass(frozen=True)
class Roots:
    """Points on the skin."""

    face: np.ndarray
    """Index into ``Surface.triangles``."""
    corners: np.ndarray
    """Vertex indices, one row per root."""
    weights: np.ndarray
    """Barycentric weights."""

    def on(self, vertices: Float[np.ndarray, "vertices 3"]) -> np.ndarray:
        """Return the points on a mesh, cm."""
        return (vertices[self.corners] * self.weights[..., None]).sum(1)

    def normals(self, vertices: Float[np.ndarray, "vertices 3"]) -> np.ndarray:
        """Return the unit normals of their triangles."""
        a, b, c = (vertices[self.corners[:, k]] for k in range(3))
        return unit(np.cross(b - a, c - a))


def skin_surface(head: HeadModel) -> Surface:
    """Prepare a head model for sowing hair."""
    skin = head.triangle_part <= PARTS.index("headneck")
    triangles = head.triangles[skin]
    corners = head.neutral[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ears = KDTree(head.neutral[head.ear])
    inside = np.unique(triangles)
    _, y, z = head.neutral[inside].T
    inside = inside[(y > -4.5) | ((z > 4) & (y > -9))]
    return Surface(
        head=head,
        triangles=triangles,
        area=0.5 * np.linalg.norm(cross, axis=1),
        scalp=scalp_field(head)[triangles].mean(1),
        ear_distance=ears.query(corners.mean(1))[0],
        skull=inside[~head.ear[inside]],
    )


def draw_roots(
    surface: Surface,
    weight: Float[np.ndarray, " triangles"],
    *,
    count: int,
    generator: np.random.Generator,
) -> Roots:
    """Draw points on the skin with a density proportional to ``weight``."""
    share = surface.area * weight
    face = generator.choice(len(share), count, p=share / share.sum())
    uv = generator.random((count, 2))
    fold = uv.sum(1) > 1
    uv[fold] = 1 - uv[fold]
    weights = np.c_[1 - uv.sum(1), uv]
    return Roots(face, surface.triangles[face], weights)


class SkullMap:
    """Distance of the skin from the skull's centre by direction."""

    ROWS, COLUMNS = 48, 96

    def __init__(self, skin: Float[np.ndarray, "vertices 3"]) -> None:
        """Measure a person's skull."""
        offset = skin - SKULL_CENTRE
        radius = np.linalg.norm(offset, axis=1)
        row, column = self._place(offset / radius[:, None])
        grid = np.zeros((self.ROWS, self.COLUMNS))
        i = np.clip((row + 0.5).astype(int), 0, self.ROWS - 1)
        j = np.floor(column + 0.5).astype(int) % self.COLUMNS
        np.maximum.at(grid, (i, j), radius)
        for _ in range(6):
            wrapped = np.pad(grid, ((0, 0), (1, 1)), mode="wrap")
            grown = grey_dilation(wrapped, 3)[:, 1:-1]
            grid = np.where(grid == 0, grown, grid)
        rows = gaussian_filter1d(grid, 0.8, axis=0, mode="nearest")
        self._grid = gaussian_filter1d(rows, 0.8, axis=1, mode="wrap")

    def push_out(
        self, point: np.ndarray, height: np.ndarray, *, cling: bool
    ) -> np.ndarray:
        """Lift points to ``height`` above the skin; clinging pulls far ones back."""
        offset = point - SKULL_CENTRE
        radius = np.linalg.norm(offset, axis=1)
        direction = offset / radius[:, None]
        wanted = self._radius(direction) + height
        new = np.maximum(radius, wanted)
        if cling:
            far = (radius > wanted + 0.15) & (point[:, 1] > -2)
            pulled = wanted + 0.15 + (radius - wanted - 0.15) * 0.55
            new = np.where(far, pulled, new)
        return SKULL_CENTRE + direction * new[:, None]

    def _place(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        longitude = np.arctan2(direction[:, 0], direction[:, 2])
        latitude = np.arcsin(np.clip(direction[:, 1], -1, 1))
        row = (latitude / np.pi + 0.5) * self.ROWS - 0.5
        return row, (longitude / (2 * np.pi) + 0.5) * self.COLUMNS - 0.5

    def _radius(self, direction: np.ndarray) -> np.ndarray:
        row, column = self._place(direction)
        row, column = np.clip(row, 0, self.ROWS - 1.001), column % self.COLUMNS
        i, j = row.astype(int), column.astype(int) % self.COLUMNS
        a, b = row - i, column - np.floor(column)
        k = (j + 1) % self.COLUMNS
        low = self._grid[i, j] * (1 - b) + self._grid[i, k] * b
        high = self._grid[i + 1, j] * (1 - b) + self._grid[i + 1, k] * b
        return low * (1 - a) + high * a
