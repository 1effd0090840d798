"""What a synthetic person wears: a torso in a shirt, and glasses, as plain meshes.

In: a person at rest, cm. Out: vertices with normals, cm.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from talk3d.synthetic.cards import unit
from talk3d.synthetic.head import PARTS, HeadModel

__all__ = ["Mesh", "fit_collar", "make_glasses", "make_torso"]

_PROFILE = np.array(
    [  # share of the way from neck to shoulder, height, cm
        [0, 0.5], [0.015, 0.2], [0.05, -0.25], [0.15, -0.75], [0.3, -1.5], [0.5, -2.6],
        [0.72, -4.2], [0.9, -6.8], [0.98, -10], [1, -15], [1, -32],
    ]
)  # fmt: skip
_RINGS, _SPOKES = 26, 72
_SHOULDER = (21.5, 10.5)
_RIMS = {
    1: (0.93, 1.75, 4.0, 0.11),
    2: (0.84, 2.35, 2.0, 0.09),
    3: (1, 2.25, 2.8, 0.19),
}
"""Width (1 fits the face), half height (cm), squareness, thickness (cm) by kind."""
_BRIDGE_HALF = 0.85


@dataclass(frozen=True)
class Mesh:
    """Triangles with normals."""

    points: Float[np.ndarray, "vertices 3"]
    """Vertices, cm."""
    normals: Float[np.ndarray, "vertices 3"]
    """Unit normals."""
    uv: Float[np.ndarray, "vertices 2"]
    """Texture coordinates; v runs down from the collar."""
    light: Float[np.ndarray, " vertices"]
    """Ambient occlusion, 1 is open."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Vertex indices."""


def fit_collar(
    head: HeadModel, shape: Float[np.ndarray, "vertices 3"]
) -> tuple[float, float]:
    """Return the half axes (side, front) of a collar that clears the neck, cm."""
    skin = shape[head.vertex_part <= PARTS.index("headneck")]
    band = skin[(np.abs(skin[:, 1] + 9.2) < 0.9) & (skin[:, 2] < 7.5)]
    side = float(np.clip(np.abs(band[:, 0]).max() + 0.9, 6.3, 9.5))
    front = float(np.clip(np.abs(band[:, 2] + 0.6).max() + 0.5, 6.0, 8.0))
    return side, front


def make_torso(collar: tuple[float, float]) -> Mesh:
    """Return a loft from the collar over the shoulders to the chest."""
    angle = np.linspace(0, 2 * np.pi, _SPOKES)
    steps = np.diff(_PROFILE, axis=0) * [15, 1]
    length = np.r_[0, np.cumsum(np.hypot(*steps.T))]
    t = np.linspace(0, 1, _RINGS)
    out, height = (np.interp(t, length / length[-1], _PROFILE[:, k]) for k in (0, 1))
    out, height = out[:, None], height[:, None]
    x = (collar[0] + (_SHOULDER[0] - collar[0]) * out) * np.sin(angle)
    z = (collar[1] + (_SHOULDER[1] - collar[1]) * out) * np.cos(angle)
    tilt = (np.cos(angle) * -2.6 - 0.6) * (1 - out) ** 2
    points = np.stack([x, -11.0 + height + tilt, z - 0.6 - 1.2 * out], -1)
    uv = np.stack(np.broadcast_arrays(angle / (2 * np.pi), t[:, None]), -1)
    light = np.broadcast_to(0.35 + 0.65 * np.minimum(1, out * 2.5), x.shape)
    return _grid(points, uv, light)


def make_glasses(
    head: HeadModel, shape: Float[np.ndarray, "vertices 3"], kind: int
) -> Mesh:
    """Return a frame that sits on the person's nose and ears.

    Args:
        head: the head model.
        shape: the person at rest, cm.
        kind: 1 rectangular, 2 round, 3 wide.
    """
    fit, half_height, power, thickness = _RIMS[kind]
    eyes = head.eye_centres(shape)
    bridge = shape[head.landmarks[27]]
    ears = shape[head.landmarks[[16, 0]]]
    outer = fit * (float(np.abs(ears[:, 0]).mean()) - 0.9)
    half_width = (outer - _BRIDGE_HALF) / 2
    front = max(float(bridge[2]) + 0.55, float(eyes[:, 2].mean()) + 3.3)
    middle = float(eyes[:, 1].mean()) - 0.35
    a = np.linspace(0, 2 * np.pi, 41)
    round_x, round_y = (
        np.sign(wave) * np.abs(wave) ** (2 / power) for wave in (np.cos(a), np.sin(a))
    )
    x = _BRIDGE_HALF + half_width * (1 + round_x)
    rim = np.stack([x, middle + half_height * round_y, front - 0.03 * x**2], 1)
    tubes = []
    for sign, ear in zip((1, -1), ears, strict=True):
        tubes.append(_tube(rim * [sign, 1, 1], thickness))
        hinge = np.array([outer, middle + 0.55 * half_height, front - 0.03 * outer**2])
        side, rest = max(outer + 0.1, abs(float(ear[0])) + 0.25), float(ear[1]) + 0.9
        temple = np.array(
            [
                hinge,
                [outer + 0.25, hinge[1], hinge[2] - 0.5],
                [side, rest, 2.6],
                [side - 0.1, rest - 0.3, 0.8],
                [side - 0.4, rest - 2.2, -0.3],
            ]
        )
        tubes.append(_tube(_smooth(temple * [sign, 1, 1]), thickness))
    end = np.array([_BRIDGE_HALF + 0.05, middle + 0.55, front - 0.03])
    arch = np.array([end * [-1, 1, 1], [0, middle + 0.85, front + 0.1], end])
    tubes.append(_tube(_smooth(arch), thickness))
    return _join(tubes)


def _smooth(points: np.ndarray, steps: int = 6) -> np.ndarray:
    t = np.linspace(0, len(points) - 1, steps * (len(points) - 1) + 1)
    return np.stack(
        [np.interp(t, range(len(points)), points[:, k]) for k in range(3)], 1
    )


def _tube(path: np.ndarray, radius: float, sides: int = 7) -> Mesh:
    tangent = unit(np.gradient(path, axis=0))
    across = unit(np.cross(tangent, np.array([0.31, 0.2, 0.93])))
    other = np.cross(tangent, across)
    angle = np.linspace(0, 2 * np.pi, sides)
    around = (
        np.cos(angle)[:, None] * across[:, None]
        + np.sin(angle)[:, None] * (other[:, None])
    )
    points = path[:, None] + radius * around
    uv = np.zeros((*points.shape[:2], 2))
    return _grid(points, uv, np.ones(points.shape[:2]))


def _grid(points: np.ndarray, uv: np.ndarray, light: np.ndarray) -> Mesh:
    """Join rows of points to a surface that closes along the second axis."""
    rows, columns = points.shape[:2]
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    k = (i * columns + j).ravel()
    triangles = np.concatenate(
        [
            np.stack([k, k + columns, k + 1], 1),
            np.stack([k + 1, k + columns, k + columns + 1], 1),
        ]
    )
    flat = points.reshape(-1, 3)
    a, b, c = (flat[triangles[:, n]] for n in range(3))
    normals = np.zeros_like(flat)
    for n in range(3):
        np.add.at(normals, triangles[:, n], np.cross(b - a, c - a))
    normals = normals.reshape(rows, columns, 3)
    seam = normals[:, 0] + normals[:, -1]
    normals[:, 0] = normals[:, -1] = seam
    normals = unit(normals)
    inner = points.mean(1, keepdims=True)
    if ((points - inner) * normals).sum() < 0:
        normals = -normals
    return Mesh(
        points=flat.astype(np.float32),
        normals=normals.reshape(-1, 3).astype(np.float32),
        uv=uv.reshape(-1, 2).astype(np.float32),
        light=light.reshape(-1).astype(np.float32),
        triangles=triangles.astype(np.int32),
    )


def _join(meshes: list[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes[:-1])])
    return Mesh(
        points=np.concatenate([mesh.points for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        uv=np.concatenate([mesh.uv for mesh in meshes]),
        light=np.concatenate([mesh.light for mesh in meshes]),
        triangles=np.concatenate(
            [m.triangles + s for m, s in zip(meshes, starts, strict=True)]
        ).astype(np.int32),
    )
