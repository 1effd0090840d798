"""Where hair, beard, lips, brows and creases lie on the head at rest.

Scalp and beard are signed distances (cm, positive inside) on the vertices of the mean
head, in the proportions of ICT-FaceKit; they serve as paint and as places for hair
roots. Lips, creases and brows are drawn into the face's texture square.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import Delaunay

from talk3d.synthetic.head import PARTS, HeadModel

__all__ = [
    "BROW_WINDOW",
    "MASK_SIZE",
    "beard_field",
    "brow_path",
    "face_masks",
    "scalp_field",
    "smoothstep",
]

MASK_SIZE = 1024
"""Pixels per side of the masks."""
_SUBPIXEL_BITS = 4

BROW_WINDOW = (0.2, 0.74, 0.6, 0.15)
"""The part of the face's texture square that holds both brows: u, v, width, height."""

_CREASES: tuple[tuple[float, float, tuple[tuple[float, float], ...]], ...] = (
    # strength, width (texture units), points (u of the right half of the face, v)
    (1.0, 0.006, ((0.420, 0.575), (0.394, 0.550), (0.364, 0.510), (0.346, 0.462))),
    (0.35, 0.005, ((0.372, 0.425), (0.360, 0.390), (0.358, 0.350))),
    (0.5, 0.004, ((0.400, 0.690), (0.370, 0.672), (0.335, 0.680))),
    (0.5, 0.003, ((0.302, 0.722), (0.280, 0.738))),
    (0.5, 0.003, ((0.300, 0.712), (0.272, 0.714))),
    (0.4, 0.003, ((0.304, 0.702), (0.282, 0.690))),
    (0.8, 0.004, ((0.482, 0.775), (0.479, 0.805), (0.483, 0.828))),
    (0.7, 0.005, ((0.500, 0.852), (0.440, 0.860), (0.370, 0.862), (0.320, 0.850))),
    (0.8, 0.005, ((0.500, 0.880), (0.430, 0.890), (0.350, 0.888), (0.310, 0.876))),
    (0.6, 0.005, ((0.500, 0.908), (0.440, 0.918), (0.370, 0.914))),
    (0.35, 0.007, ((0.500, 0.330), (0.470, 0.328), (0.448, 0.334))),
)
"""Folds of the ageing face: beside the nose and mouth, around the eyes, forehead."""


def smoothstep(
    start: int | float, end: int | float, x: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "*n"]:
    """Return GLSL's smoothstep; ``start`` may lie above ``end``."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def scalp_field(head: HeadModel) -> Float[np.ndarray, " vertices"]:
    """Return the signed distance to the average hairline, cm."""
    x, y, z = head.neutral.T
    width = np.abs(x)
    heights = [-30, -0.2, 0.6, 1.5, 3, 4.5, 6, 7.5, 9, 14]
    fronts = [-1.6, -1.6, 1.4, 2.2, 2.9, 3.6, 5.2, 5.9, 6.3, 6.3]
    front = np.interp(y, heights, fronts)
    above_forehead = y - (10.5 - 0.03 * width**2)
    field = np.maximum(above_forehead, front - z)
    field = np.minimum(field, y + 5.0 - 0.15 * width)
    field = np.where(_behind_ears(head), np.minimum(field, -3.0), field)
    field[head.vertex_part > PARTS.index("headneck")] = -9
    return field.astype(np.float32)


def _behind_ears(head: HeadModel) -> Bool[np.ndarray, " vertices"]:
    """Return the ears and the skin they hide from the side."""
    hidden = head.ear.copy()
    for side in (-1, 1):
        here = head.neutral[:, 0] * side > 5
        outline = Delaunay(head.neutral[head.ear & here, 1:])
        hidden[here] |= outline.find_simplex(head.neutral[here, 1:]) >= 0
    return hidden


def beard_field(head: HeadModel) -> Float[np.ndarray, " vertices"]:
    """Return the signed distance to the edge of a full beard, cm."""
    x, y, z = head.neutral.T
    width = np.abs(x)
    cheek = np.interp(
        width,
        [0, 1.4, 2.4, 3.3, 4.4, 5.6, 6.6, 7.5, 9],
        [-1.75, -1.55, -1.75, -2.3, -2.2, -1.2, 0.2, 1.6, 2.2],
    )
    back = np.interp(y, [-9, -6, -4, -1, 2], [4.6, 3.4, 2.2, 1.7, 1.9])
    jaw = np.minimum(np.minimum(cheek - y, 0.8 * (y + 8.8)), 0.8 * (z - back))
    field = np.minimum(jaw, 8.4 - width)
    burn = np.minimum(np.minimum(3.9 - y, 1.1 * (z - 1.9)), 1.3 * (4.3 - z))
    field = np.where(y > -1.2, np.maximum(field, np.minimum(burn, 1.2)), field)
    moustache = smoothstep(3.6, 2.2, width) * smoothstep(-4.0, -3.0, y)
    field = np.where(field > 0, field * (1 + 1.6 * moustache), field)
    field = np.maximum(field, -3)
    field[head.ear] = -2
    field[head.vertex_part > PARTS.index("headneck")] = -3
    return field.astype(np.float32)


def face_masks(head: HeadModel) -> UInt8[np.ndarray, "size size 4"]:
    """Draw lips (red) and creases (green) into the face's texture, row 0 at v = 0."""
    uv = head.vertex_uv[head.landmarks].astype(np.float64)
    lips = _blank()
    cv2.fillPoly(lips, [_pixels(_closed_spline(uv[48:60]))], 255, cv2.LINE_AA, 4)
    creases = np.zeros((MASK_SIZE, MASK_SIZE), np.float32)
    for strength, width, points in _CREASES:
        creases = np.maximum(creases, strength * _crease(points, width))
    masks = np.zeros((MASK_SIZE, MASK_SIZE, 4), np.uint8)
    masks[..., 0] = cv2.GaussianBlur(lips, (0, 0), 5)
    masks[..., 1] = np.clip(creases * 255, 0, 255).astype(np.uint8)
    return masks


def brow_path(head: HeadModel) -> Float[np.ndarray, "2 5 2"]:
    """Return the ridge of the right and the left brow in texture units, inner first."""
    uv = head.vertex_uv[head.landmarks]
    return np.stack([uv[[21, 20, 19, 18, 17]], uv[[22, 23, 24, 25, 26]]])


def _crease(points: tuple[tuple[float, float], ...], width: float) -> np.ndarray:
    """Draw one fold on both halves, faded at its ends; 0 to 1."""
    knots = np.array(points)
    t = np.linspace(0, len(knots) - 1, 48)
    curve = np.stack([np.interp(t, range(len(knots)), knots[:, k]) for k in (0, 1)], 1)
    kernel = np.ones(9) / 9
    inner = np.pad(curve, ((4, 4), (0, 0)), mode="edge")
    curve = np.stack([np.convolve(inner[:, k], kernel, "valid") for k in (0, 1)], 1)
    fade = np.sin(np.linspace(0.25, np.pi - 0.25, len(curve)))
    canvas = np.zeros((MASK_SIZE, MASK_SIZE), np.float32)
    for mirror in (False, True):
        line = curve * [-1, 1] + [1, 0] if mirror else curve
        pixels = _pixels(line)
        for k in range(len(line) - 1):
            ends = pixels[k], pixels[k + 1]
            cv2.line(
                canvas, ends[0], ends[1], float(fade[k]), 3, cv2.LINE_8, _SUBPIXEL_BITS
            )
    blurred = cv2.GaussianBlur(canvas, (0, 0), width * MASK_SIZE * 0.5)
    return blurred / max(float(blurred.max()), 1e-6)


def _closed_spline(points: np.ndarray, steps: int = 24) -> np.ndarray:
    """Return a Catmull-Rom spline through a closed polygon."""
    count = len(points)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for i in range(count):
        p0, p1, p2, p3 = (points[(i + k) % count] for k in (-1, 0, 1, 2))
        pieces.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * t
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
        )
    return np.concatenate(pieces)


def _blank() -> np.ndarray:
    return np.zeros((MASK_SIZE, MASK_SIZE), np.uint8)


def _pixels(points: np.ndarray) -> np.ndarray:
    return np.round(points * MASK_SIZE * 2**_SUBPIXEL_BITS).astype(np.int32)
