"""The head model: a mesh with identity modes and expressions.

In: one packed ``.npz`` file (see ``talk3d.synthetic.facekit``). Out: vertices in
centimetres, x to the subject's left, y up, z forward, as in ICT-FaceKit. World units
(``talk3d.camera``) are reached with ``to_world``: 40 cm, origin 1 cm above.

Symbols: V vertices, T triangles, K identity modes, E expressions.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

__all__ = [
    "CM_PER_UNIT",
    "EXPRESSIONS",
    "HEAD_VARIABLE",
    "LIDS_LOWER",
    "LIDS_UPPER",
    "LIPS_LOWER",
    "LIPS_UPPER",
    "ORIGIN_Y",
    "PARTS",
    "HeadModel",
    "expression_indices",
    "head_file",
    "load_head",
    "rotation",
    "save_head",
    "to_world",
]

CM_PER_UNIT = 40.0
ORIGIN_Y = 1.0
"""Height of the world origin in model centimetres."""
HEAD_VARIABLE = "TALK3D_HEAD"
"""Environment variable that names the head model file."""

PARTS = (
    "face", "headneck", "mouthsocket", "eyesocketL", "eyesocketR", "gumstongue",
    "teeth", "scleraL", "irisL", "scleraR", "irisR", "lacrimalL", "lacrimalR",
    "eyeblendL", "eyeblendR", "eyeocclL", "eyeocclR", "lashesL", "lashesR",
)  # fmt: skip
"""Names of the mesh parts; ``triangle_part`` and ``vertex_part`` index this."""

_SIDED = {
    "brow": ("Down", "InnerUp", "OuterUp"),
    "cheek": ("Puff", "Squint"),
    "eye": ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide"),
}
EXPRESSIONS = (
    *(
        f"{area}{shape}_{side}"
        for area, shapes in _SIDED.items()
        for shape in shapes
        for side in "LR"
    ),
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimple_L", "mouthDimple_R", "mouthFrown_L", "mouthFrown_R", "mouthFunnel",
    "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L",
    "mouthPress_R", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmile_L", "mouthSmile_R",
    "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R",
    "noseSneer_L", "noseSneer_R",
)  # fmt: skip
"""The 53 expressions in the order of the label."""

LIPS_UPPER, LIPS_LOWER = (61, 62, 63), (67, 66, 65)
"""Inner lip landmarks above each other (of the 68)."""
LIDS_UPPER, LIDS_LOWER = (37, 38, 43, 44), (41, 40, 47, 46)
"""Lid landmarks above each other (of the 68)."""

_PRESSED_RADIUS = 1.48
"""Radius (cm) to which closed lids press the eyeball, so that it stays behind them."""
_EYEBALL_RADIUS = 1.56
"""Vertices farther from the eye's centre (cm) belong to the cornea's bulge."""


@dataclass(frozen=True)
class HeadModel:
    """A linear head model: ``neutral + identity weights + expression weights``."""

    neutral: Float[np.ndarray, "vertices 3"]
    """The mean head at rest, cm."""
    identity: Float[np.ndarray, "modes vertices 3"]
    """Offsets per mode; a weight of 1 is one standard deviation."""
    expression: Float[np.ndarray, "expressions vertices 3"]
    """Offsets per expression in the order of ``EXPRESSIONS``; weights 0 to 1."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Vertex indices, counter-clockwise from outside."""
    triangle_uv: Int[np.ndarray, "triangles 3"]
    """Indices into ``uv``."""
    triangle_part: Int[np.ndarray, " triangles"]
    """Index into ``PARTS``."""
    uv: Float[np.ndarray, "coordinates 2"]
    """Texture coordinates; the face lies in 0 to 1."""
    landmarks: Int[np.ndarray, "68"]
    """Vertices of the 68 Multi-PIE landmarks."""

    @cached_property
    def vertex_part(self) -> Int[np.ndarray, " vertices"]:
        """Part of each vertex; on a seam the part that comes first."""
        part = np.full(len(self.neutral), len(PARTS))
        np.minimum.at(
            part, self.triangles.ravel(), np.repeat(self.triangle_part, 3).astype(int)
        )
        return part

    @cached_property
    def vertex_uv(self) -> Float[np.ndarray, "vertices 2"]:
        """Texture coordinate of each vertex; on a seam one of them."""
        result = np.zeros((len(self.neutral), 2), np.float32)
        result[self.triangles.ravel()] = self.uv[self.triangle_uv.ravel()]
        return result

    @cached_property
    def ear(self) -> Bool[np.ndarray, " vertices"]:
        """Vertices of the ears: where the face's texture reaches its sides."""
        u, v = self.vertex_uv.T
        side = (np.abs(u - 0.5) > 0.392) & (v > 0.44) & (v < 0.695)
        x, y, _ = self.neutral.T
        stands_out = (y < 3.4) | ((y < 5.1) & (np.abs(x) > 7.95))
        return (self.vertex_part == 0) & side & stands_out

    @cached_property
    def eye_vertices(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
        """Vertices of the left and of the right eyeball."""
        left, right = (
            np.flatnonzero(
                np.isin(self.vertex_part, _part_ids(f"sclera{s}", f"iris{s}"))
            )
            for s in "LR"
        )
        return left, right

    @cached_property
    def _eye_fit(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices of each sclera that lie on a sphere."""
        left, right = (
            _spherical(self.neutral, self.vertex_part == PARTS.index(f"sclera{s}"))
            for s in "LR"
        )
        return left, right

    @cached_property
    def _moves(self) -> scipy.sparse.csr_matrix:
        """Offsets of all coordinates per expression, without the negligible ones."""
        far = np.abs(self.expression).max(2, keepdims=True) > 1e-4
        offsets = np.where(far, self.expression, 0).astype(np.float32)
        return scipy.sparse.csr_matrix(offsets.reshape(len(offsets), -1).T)

    @cached_property
    def _corners(self) -> Int[np.ndarray, "3 triangles"]:
        """First, second and third vertices of all triangles."""
        return np.ascontiguousarray(self.triangles.T, np.intp)

    @cached_property
    def _face_to_vertex(self) -> scipy.sparse.csr_matrix:
        count = len(self.triangles)
        data = np.ones(3 * count, np.float32)
        faces = np.repeat(np.arange(count), 3)
        return scipy.sparse.csr_matrix(
            (data, (self.triangles.ravel(), faces)), shape=(len(self.neutral), count)
        )

    @cached_property
    def _skin_neighbours(self) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
        """Mean over the neighbours on the skin, and half their squared distance."""
        skin = self.triangles[self.triangle_part <= PARTS.index("eyesocketR")]
        edges = np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]])
        a, b = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0).T
        count = len(self.neutral)
        degree = np.maximum(np.bincount(a, minlength=count), 1).astype(np.float32)
        data = 1 / degree[a]
        mean = scipy.sparse.csr_matrix((data, (a, b)), shape=(count, count))
        apart = ((self.neutral[a] - self.neutral[b]) ** 2).sum(1)
        spread = np.bincount(a, apart, minlength=count) / degree
        return mean, np.maximum(spread / 2, 1e-3).astype(np.float32)

    def hollows(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        normals: Float[np.ndarray, "vertices 3"],
    ) -> Float[np.ndarray, " vertices"]:
        """Return the mean curvature of the skin, 1/cm: folds are above 0."""
        mean, spread = self._skin_neighbours
        inside = np.bincount(mean.indices, minlength=len(vertices)) > 0
        bend = (((mean @ vertices) - vertices) * normals).sum(1) / spread
        return np.where(inside, mean @ (mean @ bend), 0).astype(np.float32)

    def shape(
        self, weights: Float[np.ndarray, " modes"]
    ) -> Float[np.ndarray, "vertices 3"]:
        """Return a person at rest, cm; missing weights are zero."""
        used = self.identity[: len(weights)].reshape(len(weights), -1)
        offset = weights.astype(np.float32) @ used
        return self.neutral + offset.reshape(-1, 3)

    def express(
        self,
        shape: Float[np.ndarray, "vertices 3"],
        weights: Float[np.ndarray, " expressions"],
    ) -> Float[np.ndarray, "vertices 3"]:
        """Return ``shape`` with expressions added, cm."""
        offsets = self._moves @ weights.astype(np.float32)
        return shape + offsets.reshape(shape.shape)

    def eye_centres(
        self, shape: Float[np.ndarray, "vertices 3"]
    ) -> Float[np.ndarray, "2 3"]:
        """Fit the centres of the left and the right eyeball, cm."""
        centres = []
        for index in self._eye_fit:
            points = shape[index].astype(np.float64)
            system = np.c_[2 * points, np.ones(len(points))]
            solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
            centres.append(solution[:3])
        return np.array(centres, np.float32)

    def turn_eyes(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        shape: Float[np.ndarray, "vertices 3"],
        gaze: Float[np.ndarray, "4"],
        shut: tuple[float, float] = (0.0, 0.0),
    ) -> Float[np.ndarray, "vertices 3"]:
        """Return ``vertices`` with the eyeballs turned rigidly.

        Args:
            vertices: the posed head, cm.
            shape: the person at rest, cm; the eyeballs are taken from here.
            gaze: left yaw, pitch, right yaw, pitch in radians.
            shut: how far the left and right lids press the cornea flat, 0 to 1.
        """
        result = vertices.copy()
        centres = self.eye_centres(shape)
        for k, index in enumerate(self.eye_vertices):
            turn = rotation(float(gaze[2 * k]), float(gaze[2 * k + 1])).astype(
                np.float32
            )
            ball = (shape[index] - centres[k]) @ turn.T
            if shut[k] > 0:
                away = np.linalg.norm(ball, axis=1, keepdims=True)
                flat = np.minimum(away, _PRESSED_RADIUS)
                ball = ball * (1 + np.float32(shut[k]) * (flat / away - 1))
            result[index] = ball + centres[k]
        return result

    def normals(
        self, vertices: Float[np.ndarray, "vertices 3"]
    ) -> Float[np.ndarray, "vertices 3"]:
        """Return unit vertex normals, weighted by area."""
        a, b, c = (vertices.take(corners, axis=0) for corners in self._corners)
        summed = self._face_to_vertex @ np.cross(b - a, c - a)
        length = np.linalg.norm(summed, axis=1, keepdims=True)
        return (summed / np.maximum(length, 1e-12)).astype(np.float32)

    def gap(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        upper: tuple[int, ...],
        lower: tuple[int, ...],
    ) -> float:
        """Return the mean height of upper above lower landmarks, cm."""
        rows = self.landmarks
        above, below = vertices[rows[list(upper)], 1], vertices[rows[list(lower)], 1]
        return float(np.mean(above - below))


def expression_indices(name: str) -> list[int]:
    """Return the label positions of an expression: both sides where it has sides.

    Raises:
        ValueError: if there is no such expression.
    """
    found = [k for k, full in enumerate(EXPRESSIONS) if full.split("_")[0] == name]
    if not found:
        message = f"no expression {name!r}: use one of {', '.join(EXPRESSIONS)}"
        raise ValueError(message)
    return found


def to_world(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Convert model centimetres to world units."""
    return (points - np.array([0, ORIGIN_Y, 0], points.dtype)) / points.dtype.type(
        CM_PER_UNIT
    )


def rotation(
    yaw: int | float, pitch: int | float, roll: int | float = 0.0
) -> Float[np.ndarray, "3 3"]:
    """Return a rotation of the head or an eye, radians.

    +yaw turns toward the subject's left, +pitch looks up, +roll tilts the crown
    toward the subject's left. Roll is applied first, yaw last.
    """
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def head_file(path: Path | None = None) -> Path | None:
    """Return the head model file to use, or ``None`` where there is none.

    The file named by the caller comes first, then the one in ``TALK3D_HEAD``.

    Raises:
        FileNotFoundError: if the named file does not exist.
    """
    named = path or (
        Path(os.environ[HEAD_VARIABLE]) if HEAD_VARIABLE in os.environ else None
    )
    if named is not None and not named.is_file():
        message = (
            f"no head model at {named}: give a file made by talk3d synth import-facekit"
            " or leave the option out to use the small built-in head"
        )
        raise FileNotFoundError(message)
    return named


def load_head(path: Path) -> HeadModel:
    """Read a packed head model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no packed head model.
    """
    if not path.is_file():
        message = f"no head model at {path}: check the name"
        raise FileNotFoundError(message)
    try:
        with np.load(path) as data:
            names = tuple(str(name) for name in data["expression_names"])
            parts = tuple(str(name) for name in data["part_names"])
            model = HeadModel(
                neutral=data["neutral"].astype(np.float32),
                identity=data["identity"].astype(np.float32),
                expression=data["expression"].astype(np.float32),
                triangles=data["tri"].astype(np.int64),
                triangle_uv=data["tri_uv"].astype(np.int64),
                triangle_part=data["tri_part"].astype(np.int64),
                uv=data["uv"].astype(np.float32),
                landmarks=data["landmarks68"].astype(np.int64),
            )
    except (KeyError, ValueError, OSError) as error:
        message = (
            f"{path} is no packed head model, or it is damaged: make one with talk3d"
            " synth import-facekit"
        )
        raise ValueError(message) from error
    if names != EXPRESSIONS or parts != PARTS:
        message = f"{path} has other expressions or parts: make it again"
        raise ValueError(message)
    return model


def save_head(path: Path, head: HeadModel) -> None:
    """Write a packed head model: offsets as float16, errors under 0.02 mm."""
    np.savez_compressed(
        path,
        neutral=head.neutral.astype(np.float32),
        identity=head.identity.astype(np.float16),
        expression=head.expression.astype(np.float16),
        expression_names=np.array(EXPRESSIONS),
        tri=head.triangles.astype(np.uint32),
        tri_uv=head.triangle_uv.astype(np.uint32),
        uv=head.uv.astype(np.float32),
        tri_part=head.triangle_part.astype(np.uint8),
        part_names=np.array(PARTS),
        landmarks68=head.landmarks.astype(np.uint32),
    )


def _part_ids(*names: str) -> list[int]:
    return [PARTS.index(name) for name in names]


def _spherical(neutral: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return the members that lie on the eyeball's sphere, not on the cornea."""
    index = np.flatnonzero(member)
    low, high = neutral[index].min(0), neutral[index].max(0)
    radius = (high[0] - low[0]) / 2
    centre = np.array([*(low + high)[:2] / 2, low[2] + radius])
    away = np.linalg.norm(neutral[index] - centre, axis=1)
    return index[away < _EYEBALL_RADIUS]
