"""A small head made by code, for tests, demonstrations and machines without a model.

The face is spanned through the 478 measured face points that ship with the package,
with their identity and expression offsets (from ICT-FaceKit, MIT licence; notice in
the data file), and refined once by Loop's scheme. Skull, neck, ears, eyeballs, teeth
and tongue are plain surfaces joined to it. Lengths are model centimetres.

Every vertex is linear in the face points: an array of *fields* holds the rest shape
first, then identity and expression offsets, each ``vertices x 3``.
"""

import logging
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors.numpy import load
from scipy.spatial import Delaunay

from talk3d.checkpoint import file_sha256
from talk3d.synthetic.head import (
    CM_PER_UNIT,
    EXPRESSIONS,
    ORIGIN_Y,
    PARTS,
    HeadModel,
    expression_indices,
    head_file,
    load_head,
)
from talk3d.synthetic.regions import smoothstep
from talk3d.synthetic.surfaces import (
    Fields,
    Piece,
    inside_polygon,
    loop_subdivision,
    open_rims,
    strip,
)

__all__ = ["builtin_head", "head_identity", "open_head"]

_log = logging.getLogger(__name__)


_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400,
    377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103,
    67, 109,
)  # fmt: skip
_LIPS = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178,
    88, 95,
)  # fmt: skip
_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161,
              246)  # fmt: skip
_LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388,
             466)  # fmt: skip
_LANDMARKS = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61, 39, 37, 0, 267, 269,
    291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""The 68 Multi-PIE landmarks among the face points."""
_FACE_POINTS, _IRIS = 468, {"L": 473, "R": 468}
_JAW_TO_UNFOLD = 0.5
"""The jaw is this far open while the points are joined to triangles."""

_CENTRE = np.array([0.0, 4.0, 0.5])
_SKULL = np.array([7.7, 10.5, 9.9])
_SKULL_BELOW = 9.0
_POLE = np.array([0.0, -0.05, -1.0])
_EYE_RADIUS, _CORNEA = 1.545, 1.66
_UV_HEIGHTS = [-16, -7.57, -4.38, -3.4, -2.48, -1.2, 0.41, 3.4, 6.2, 14]
_UV_ROWS = [0.02, 0.283, 0.359, 0.43, 0.51, 0.541, 0.607, 0.717, 0.81, 0.99]


def open_head(path: Path | None = None) -> HeadModel:
    """Return the head model of a file, or the built-in one where there is none.

    Args:
        path: the file; see ``talk3d.synthetic.head.head_file``.

    Raises:
        FileNotFoundError: if a named file does not exist.
        ValueError: if the file is no head model.
    """
    file = head_file(path)
    if file is not None:
        return load_head(file)
    _log.warning("no head model was named: the small built-in head is used")
    return builtin_head()


def head_identity(path: Path | None = None) -> str:
    """Return the sha256 of the head model that ``open_head`` opens, or ``built-in``."""
    file = head_file(path)
    return "built-in" if file is None else file_sha256(file)


def builtin_head() -> HeadModel:
    """Build the small head."""
    data = load(
        (resources.files("talk3d") / "data/face_shape.safetensors").read_bytes()
    )
    offsets = np.concatenate([data["identity"], data["expression"]]) * CM_PER_UNIT
    rest = data["mean"] * CM_PER_UNIT + [0, ORIGIN_Y, 0]
    fields = np.concatenate([rest[None], offsets]).astype(np.float64)
    modes = len(data["identity"])
    face = _face(fields)
    loops = open_rims(face.triangles)
    pieces = [
        face,
        _skull(face, loops[0]),
        _neck(len(fields)),
        *(_ear(len(fields), side) for side in (1, -1)),
        _mouth(face, _with_vertex(loops, _LIPS[5]), modes),
        *_teeth(face, modes),
        _tongue(face, modes),
    ]
    for side, contour in (("L", _LEFT_EYE), ("R", _RIGHT_EYE)):
        loop = _with_vertex(loops, contour[0])
        pieces += _eye(fields, face, loop, side, modes)
    return _assemble(pieces, modes)


def _assemble(pieces: list[Piece], modes: int) -> HeadModel:
    starts = np.cumsum([0, *(len(piece.uv) for piece in pieces[:-1])])
    pairs = list(zip(pieces, starts, strict=True))
    triangles = np.concatenate([piece.triangles + start for piece, start in pairs])
    fields = np.concatenate([piece.fields for piece in pieces], 1).astype(np.float32)
    parts = [np.full(len(p.triangles), PARTS.index(p.part)) for p in pieces]
    return HeadModel(
        neutral=fields[0],
        identity=fields[1 : 1 + modes],
        expression=fields[1 + modes :],
        triangles=triangles.astype(np.int64),
        triangle_uv=triangles.astype(np.int64),
        triangle_part=np.concatenate(parts).astype(np.int64),
        uv=np.concatenate([piece.uv for piece in pieces]).astype(np.float32),
        landmarks=np.array(_LANDMARKS),
    )


def _face(fields: Fields) -> Piece:
    """Span the face points with triangles, leave eyes and mouth open, refine."""
    jaw = len(fields) - len(EXPRESSIONS) + expression_indices("jawOpen")[0]
    points = fields[:, :_FACE_POINTS]
    opened = points[0] + _JAW_TO_UNFOLD * points[jaw]
    flat = np.c_[np.arctan2(opened[:, 0], opened[:, 2] + 2) * 10, opened[:, 1]]
    triangles = Delaunay(flat).simplices
    centre = flat[triangles].mean(1)
    keep = inside_polygon(centre, flat[list(_OVAL)])
    for hole in (_LIPS, _LEFT_EYE, _RIGHT_EYE):
        keep &= ~inside_polygon(centre, flat[list(hole)])
    triangles = triangles[keep]
    a, b, c = (flat[triangles[:, k]] for k in range(3))
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    triangles[turned] = triangles[turned][:, ::-1]
    weights, triangles = loop_subdivision(triangles, _FACE_POINTS)
    fine = np.stack([weights @ field for field in points])
    return Piece(fine, triangles, _face_uv(fine[0]), "face")


def _face_uv(points: np.ndarray) -> np.ndarray:
    """Return texture coordinates like ICT-FaceKit's: unrolled around the head."""
    angle = np.arctan2(points[:, 0], points[:, 2])
    u = 0.5 + 0.46 * angle - 0.11 * angle * np.abs(angle)
    return np.stack([u, np.interp(points[:, 1], _UV_HEIGHTS, _UV_ROWS)], 1)


def _with_vertex(loops: list[list[int]], vertex: int) -> list[int]:
    return next(loop for loop in loops if vertex in loop)


def _skull(face: Piece, loop: list[int]) -> Piece:
    """Lead the rim of the face over an ellipsoid to a pole at the back."""
    rim = face.fields[:, loop]
    offset = rim[0] - _CENTRE
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    direction, pole = offset / radius, _POLE / np.linalg.norm(_POLE)
    angle = np.arccos(np.clip(direction @ pole, -1, 1))[:, None]
    rings = [rim]
    for t in np.linspace(0, 1, 19)[1:]:
        way = np.sin((1 - t) * angle) * direction + np.sin(t * angle) * pole
        way = way / np.linalg.norm(way, axis=1, keepdims=True)
        axes = np.tile(_SKULL, (len(way), 1))
        axes[:, 1] = np.where(way[:, 1] < 0, _SKULL_BELOW, axes[:, 1])
        round_radius = 1 / np.linalg.norm(way / axes, axis=1, keepdims=True)
        share = float(smoothstep(0, 0.4, np.array([t]))[0])
        ring = rim * (1 - float(smoothstep(0, 0.7, np.array([t]))[0]))
        ring[0] = _CENTRE + way * (radius * (1 - share) + round_radius * share)
        rings.append(ring)
    return strip(rings, (1.5, 0.5), "headneck")


def _neck(fields: int) -> Piece:
    """Return a tube from inside the skull to the collar."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rings = []
    for height in np.linspace(0.5, -17.5, 16):
        wide = 5.4 + 3.5 * float(np.interp(height, [-17, -10], [1, 0]))
        ring = np.zeros((fields, 40, 3))
        ring[0] = np.stack(
            [
                wide * np.sin(angle),
                np.full(40, height),
                wide * 0.95 * np.cos(angle) - 1.6,
            ],
            1,
        )
        rings.append(ring)
    return strip(rings, (1.5, 0.2), "headneck")


def _ear(fields: int, side: int) -> Piece:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False) * side
    rings = []
    for out, size in ((-0.8, 0.9), (0.5, 1.0), (0.9, 0.9), (0.45, 0.7), (0.2, 0.35)):
        ring = np.zeros((fields, 20, 3))
        flare = 0.45 * size * (np.cos(angle) < 0)
        ring[0] = np.stack(
            [
                side * (7.5 + out + flare),
                1.5 + 3.0 * size * np.sin(angle) * np.ones(20),
                -0.4 + 1.75 * size * np.cos(angle),
            ],
            1,
        )
        rings.append(ring)
    return strip(rings, (0.5 + side * 0.45, 0.55), "face")


def _mouth(face: Piece, loop: list[int], modes: int) -> Piece:
    """Return the bag behind the lips."""
    rim = face.fields[:, loop]
    jaw = rim[1 + modes + expression_indices("jawOpen")[0], :, 1]
    below = smoothstep(0.5 * jaw.min(), 0.6 * jaw.min(), jaw) * 2 - 1
    rings = [rim]
    for deep, tall, keep in (
        (0.5, 0.5, 0.9),
        (1.2, 1.6, 0.8),
        (4, 1.6, 0.7),
        (8, 0, 0.5),
    ):
        ring = rim * keep
        ring[0] = rim[0] - np.array([0, 0, deep])
        ring[0, :, 1] -= below * tall
        ring[0, :, 0] *= 1.0 if deep < 5 else 0.3
        rings.append(ring)
    return strip(rings, (1.1, 0.8), "mouthsocket")


def _jaw_motion(face: Piece, modes: int) -> np.ndarray:
    """Return how the chin moves: fields x 3, without the rest shape."""
    motion = face.fields[:, 152].copy()
    motion[0] = 0
    kept = [1 + modes + k for n in ("jawOpen", "jawForward", "jawLeft", "jawRight")
            for k in expression_indices(n)]  # fmt: skip
    mask = np.zeros(len(motion))
    mask[kept] = 0.8
    return motion * mask[:, None]


def _teeth(face: Piece, modes: int) -> list[Piece]:
    """Return the upper and the lower row."""
    pieces = []
    rest = np.zeros((len(face.fields), 1, 3))
    follow = _jaw_motion(face, modes)[:, None]
    for heights, motion in (((-1.9, -3.15), rest), ((-3.45, -4.6), follow)):
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        rings = []
        for height in np.linspace(*heights, 4):
            ring = np.tile(motion, (1, 48, 1))
            ring[0] = np.stack(
                [
                    2.5 * np.sin(angle),
                    np.full(48, height),
                    7.4 + 2.9 * np.cos(angle),
                ],
                1,
            )
            rings.append(ring)
        pieces.append(strip(rings, (3.5, 0.5), "teeth"))
    return pieces


def _tongue(face: Piece, modes: int) -> Piece:
    ball = _ball(np.array([0, -4.5, 7.2]), np.array([1.8, 0.75, 2.6]))
    motion = np.tile(_jaw_motion(face, modes)[:, None], (1, ball[..., 0].size, 1))
    motion[0] = ball.reshape(-1, 3)
    moved = motion.reshape(len(motion), *ball.shape)
    rings = [moved[:, k] for k in range(len(ball))]
    return strip(rings, (2.5, 0.5), "gumstongue")


def _ball(centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return rings of an ellipsoid from its front pole to its back pole."""
    polar = np.linspace(0.02, np.pi - 0.02, 14)[:, None]
    around = np.linspace(0, 2 * np.pi, 28, endpoint=False)[None]
    unit_ball = np.stack(
        [
            -np.sin(polar) * np.sin(around),
            np.sin(polar) * np.cos(around),
            np.cos(polar) + 0 * around,
        ],
        -1,
    )
    return centre + axes * unit_ball


def _eye(
    fields: Fields, face: Piece, loop: list[int], side: str, modes: int
) -> list[Piece]:
    """Return the eyeball and the pocket behind the lids."""
    iris = fields[0, _IRIS[side]]
    rim = face.fields[:, loop]
    ball = _ball(iris - [0, 0, _CORNEA], np.full(3, _EYE_RADIUS))
    moved = np.zeros((len(fields), *ball.shape))
    moved[1 : 1 + modes] = rim[1 : 1 + modes].mean(1)[:, None, None]
    moved[0] = ball
    pocket = [rim]
    for back, out in ((0.5, 1.0), (1.6, 1.25)):
        ring = rim.copy()
        middle = rim[0].mean(0)
        ring[0] = middle + (rim[0] - middle) * [out, out, 1] - [0, 0, back]
        pocket.append(ring)
    return [
        strip([moved[:, k] for k in range(len(ball))], (0.5, 0.5), f"sclera{side}"),
        strip(pocket, (1.9, 0.9), f"eyesocket{side}"),
    ]
