"""Brows and beard: short hair bound to triangles, so that it follows the face.

Brows are strokes in a small texture plus a few raised cards; beards are cards over
paint. In: the mean head and a person's looks. Out: cards in world units.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import KDTree

from talk3d.synthetic.cards import Cards, Strands, build_cards, unit
from talk3d.synthetic.head import PARTS
from talk3d.synthetic.looks import Hair, Looks
from talk3d.synthetic.regions import BROW_WINDOW, beard_field, brow_path
from talk3d.synthetic.skull import Roots, Surface, draw_roots

__all__ = [
    "BROW_SIZE",
    "BoundHair",
    "FacialHair",
    "draw_facial_hair",
    "facial_cards",
]

BROW_SIZE = (256, 1024)
"""Rows and columns of the brow texture."""
_STROKES = 760
_BROW_CARDS = 150
_SUBPIXEL_BITS = 4
_BEARDS = {"short": 7000, "full": 5600, "goatee": 2600}


@dataclass(frozen=True)
class BoundHair:
    """Short hair in the frames of the triangles it grows on."""

    roots: Roots
    """Where the hair grows."""
    local: Float[np.ndarray, "cards knots 3"]
    """Path from the root in the triangle's frame, cm."""
    width: float
    """Mean width of a card, cm."""
    hairs: int
    """Strands a card is cut into."""
    shade: float
    """Light at the root, 0 to 1."""
    colour: Float[np.ndarray, "3"]
    """Reflectance."""


@dataclass(frozen=True)
class FacialHair:
    """A person's brows and beard."""

    brow_texture: UInt8[np.ndarray, "rows columns"]
    """Cover of the brows in ``BROW_WINDOW``, row 0 at the lowest v."""
    bound: tuple[BoundHair, ...]
    """Brow cards and, for beards, beard cards."""


@dataclass(frozen=True)
class _Strokes:
    """Brow hairs in texture units, right brow first."""

    start: np.ndarray
    direction: np.ndarray
    length: np.ndarray
    """Centimetres."""
    share: np.ndarray
    """Place along the brow: 0 at the nose, 1 at the temple."""


def draw_facial_hair(
    surface: Surface, looks: Looks, generator: np.random.Generator
) -> FacialHair:
    """Draw a person's brows and beard."""
    strokes = _draw_strokes(surface, looks, generator)
    bound = [_brow_cards(surface, strokes, looks.hair, generator)]
    if looks.hair.beard in _BEARDS:
        bound.append(_beard_cards(surface, looks.hair, generator))
    return FacialHair(_brow_texture(strokes, generator), tuple(bound))


def facial_cards(
    facial: FacialHair, vertices: Float[np.ndarray, "vertices 3"]
) -> list[Cards]:
    """Place brows and beard on a posed head (cm); the same cards every time."""
    return [_place(hair, vertices) for hair in facial.bound]


def _draw_strokes(
    surface: Surface, looks: Looks, generator: np.random.Generator
) -> _Strokes:
    thick = generator.uniform(0.95, 1.5) * (0.85 if looks.woman else 1.15)
    length = generator.uniform(0.40, 0.56) * (0.85 if looks.woman else 1.1)
    arch = generator.normal(0, 0.004)
    parts = []
    for path in brow_path(surface.head).astype(np.float64):
        t = generator.random(_STROKES) ** 0.85
        k = np.clip((t * 4).astype(int), 0, 3)
        share = (t * 4 - k)[:, None]
        centre = path[k] * (1 - share) + path[k + 1] * share
        along = unit(np.c_[path[k + 1] - path[k], 0 * t])[:, :2]
        half = np.interp(
            t, [0, 0.15, 0.5, 0.8, 1], [0.0065, 0.0100, 0.0100, 0.0075, 0.0032]
        )
        across = (generator.beta(2.2, 2.2, _STROKES) - 0.72) * 2.2 * half * thick
        bow = arch * np.sin(np.pi * t) - 0.002
        start = centre + np.c_[0 * t, across + bow]
        rise = np.interp(t, [0, 0.15, 0.35, 0.6, 1], [1.2, 0.95, 0.5, 0.1, -0.2])
        rise = rise + generator.normal(0, 0.22, _STROKES)
        forward = along * np.interp(t, [0, 0.2, 1], [0.3, 0.75, 1])[:, None]
        direction = unit(np.c_[forward + np.c_[0 * t, rise * 0.62], 0 * t])[:, :2]
        size = np.interp(t, [0, 0.2, 0.7, 1], [0.7, 1, 0.95, 0.65]) * length
        size = size * np.exp(generator.normal(0, 0.14, _STROKES))
        parts.append((start, direction, size, t))
    return _Strokes(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))


def _brow_texture(
    strokes: _Strokes, generator: np.random.Generator
) -> UInt8[np.ndarray, "rows columns"]:
    """Draw every brow hair as a fine line."""
    rows, columns = BROW_SIZE
    u0, v0, width, height = BROW_WINDOW
    scale = np.array([columns / width, rows / height])
    per_cm = 0.0165
    canvas = np.zeros(BROW_SIZE, np.float32)
    first = (strokes.start - [u0, v0]) * scale
    last = first + strokes.direction * strokes.length[:, None] * per_cm * scale
    ends = np.round(np.stack([first, last], 1) * 2**_SUBPIXEL_BITS).astype(np.int32)
    inner = np.interp(strokes.share, [0, 0.12, 0.9, 1], [0.35, 1, 1, 0.6])
    strength = generator.uniform(0.25, 0.7, len(ends)) * inner
    layer = np.zeros(BROW_SIZE, np.uint8)
    for (a, b), value in zip(ends, strength, strict=True):
        layer[:] = 0
        low = np.clip(np.minimum(a, b) // 16 - 3, 0, None)
        high = np.maximum(a, b) // 16 + 4
        view = (slice(low[1], high[1]), slice(low[0], high[0]))
        patch = np.ascontiguousarray(layer[view])
        shift = low * 16
        cv2.line(patch, a - shift, b - shift, 255, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
        cover = patch.astype(np.float32) / 255 * value
        canvas[view] = 1 - (1 - canvas[view]) * (1 - cover)
    under = cv2.GaussianBlur(canvas, (0, 0), 8) * 0.6
    fine = cv2.GaussianBlur(canvas, (0, 0), 0.9) * 0.8
    return (np.clip(1 - (1 - fine) * (1 - under), 0, 1) * 255).astype(np.uint8)


def _brow_cards(
    surface: Surface, strokes: _Strokes, hair: Hair, generator: np.random.Generator
) -> BoundHair:
    keep = np.arange(len(strokes.start))
    keep = np.sort(generator.choice(keep, 2 * _BROW_CARDS, replace=False))
    locate = _FaceLookup(surface)
    start, way = strokes.start[keep], strokes.direction[keep]
    roots = locate.roots(start)
    ahead = locate.roots(start + way * 0.006)
    rest = surface.head.neutral
    return BoundHair(
        roots=roots,
        local=_bend(
            roots,
            rest,
            unit(ahead.on(rest) - roots.on(rest)),
            strokes.length[keep] * 0.9,
            generator=generator,
            lift=0.16,
            bend=-0.25,
            sag=0.0,
        ),
        width=0.036,
        hairs=1,
        shade=0.9,
        colour=hair.brow_colour,
    )


def _beard_cards(
    surface: Surface, hair: Hair, generator: np.random.Generator
) -> BoundHair:
    rest = surface.head.neutral
    field = beard_field(surface.head)[surface.triangles].mean(1)
    centre = rest[surface.triangles].mean(1)
    density = np.clip(field / 1.2, 0, 1) * ~_on_lips(surface)
    if hair.beard == "goatee":
        density = density * (np.abs(centre[:, 0]) < 2.8) * (centre[:, 1] > -8)
    count = _BEARDS[hair.beard]
    roots = draw_roots(surface, density, count=count, generator=generator)
    points = roots.on(rest)
    full = hair.beard == "full"
    longest = {"short": 0.6, "full": generator.uniform(1.4, 3.2), "goatee": 1.0}
    x = points[:, 0]
    way = np.c_[x * 0.06, np.full(count, -1.0), np.full(count, 0.15)]
    lip = (points[:, 1] > -2.7) & (np.abs(x) < 3)
    across = np.c_[np.sign(x) * 0.8, np.full(count, -0.55), np.full(count, 0.1)]
    way[lip] = across[lip]
    length = longest[hair.beard] * np.exp(generator.normal(0, 0.2, count))
    length[lip] = np.minimum(length[lip], 0.75)
    rim = field[roots.face] * (0.32 if full else 0.55) + 0.16
    return BoundHair(
        roots=roots,
        local=_bend(
            roots,
            rest,
            unit(way),
            length * np.clip(rim, 0.14, 1),
            generator=generator,
            lift=0.65 if full else 0.5,
            bend=-0.5,
            sag=0.15,
        ),
        width=0.22 if full else 0.10,
        hairs=3 if full else 2,
        shade=0.5,
        colour=hair.colour,
    )


def _on_lips(surface: Surface) -> np.ndarray:
    """Return which triangles are lips: inside the outer lip landmarks' polygon."""
    head = surface.head
    outline = head.vertex_uv[head.landmarks[48:60]].astype(np.float32)
    centres = head.vertex_uv[surface.triangles].mean(1)
    face = head.vertex_part[surface.triangles].max(1) == PARTS.index("face")
    inside = [
        cv2.pointPolygonTest(outline, (float(u), float(v)), True) > -0.006
        for u, v in centres
    ]
    return face & np.array(inside)


def _bend(
    roots: Roots,
    rest: np.ndarray,
    direction: np.ndarray,
    length: np.ndarray,
    *,
    generator: np.random.Generator,
    lift: float,
    bend: float,
    sag: float,
) -> np.ndarray:
    """Return hair paths in the frames of their triangles."""
    segments = 3
    frame = _frames(roots, rest)
    normal = frame[..., 2]
    tangent = direction - (direction * normal).sum(1, keepdims=True) * normal
    heading = unit(tangent + normal * lift)
    path = np.zeros((len(length), segments + 1, 3))
    for i in range(segments):
        path[:, i + 1] = path[:, i] + heading * (length / segments)[:, None]
        noise = generator.normal(0, 0.05, heading.shape)
        fall = np.array([0, -sag, 0])
        heading = unit(heading + normal * bend * lift * 1.2 + fall + noise)
    return np.einsum("nkj,nji->nki", path, frame)


def _frames(roots: Roots, vertices: np.ndarray) -> np.ndarray:
    """Return the frame of each root's triangle: edge, bitangent, normal as columns."""
    a, b = (vertices[roots.corners[:, k]] for k in (0, 1))
    edge, normal = unit(b - a), roots.normals(vertices)
    return np.stack([edge, np.cross(normal, edge), normal], 2)


def _place(hair: BoundHair, vertices: np.ndarray) -> Cards:
    frame = _frames(hair.roots, vertices)
    start = hair.roots.on(vertices)
    points = start[:, None] + np.einsum("nki,nji->nkj", hair.local, frame)
    count, knots = points.shape[:2]
    generator = np.random.default_rng(7)
    spread = np.exp(generator.normal(0, 0.15, (count, 1)))
    strands = Strands(
        points=points,
        outward=np.repeat(frame[:, None, :, 2], knots, 1),
        width=hair.width * np.exp(generator.normal(0, 0.2, count)),
        colour=hair.colour * spread,
        occlusion=np.linspace(hair.shade, 1, knots)[None] * np.ones((count, 1)),
    )
    return build_cards(strands, generator, hairs=hair.hairs)


class _FaceLookup:
    """Finds the face triangle at a texture coordinate."""

    NEIGHBOURS = 8

    def __init__(self, surface: Surface) -> None:
        """Index the face's triangles by their centres in the texture."""
        head = surface.head
        self._uv = head.vertex_uv.astype(np.float64)
        face = head.triangle_part == PARTS.index("face")
        self._triangles = head.triangles[face]
        self._tree = KDTree(self._uv[self._triangles].mean(1))

    def roots(self, points: Float[np.ndarray, "points 2"]) -> Roots:
        """Return the points on the face; outside ones go to the nearest triangle."""
        candidates = self._triangles[self._tree.query(points, k=self.NEIGHBOURS)[1]]
        a, b, c = (self._uv[candidates[..., k]] for k in range(3))
        ab, ac, ap = b - a, c - a, points[:, None] - a
        area = _cross(ab, ac)
        area = np.where(np.abs(area) < 1e-12, 1e-12, area)
        second, third = _cross(ap, ac) / area, _cross(ab, ap) / area
        weights = np.stack([1 - second - third, second, third], -1)
        best = weights.min(-1).argmax(1)
        row = np.arange(len(points))
        chosen = np.clip(weights[row, best], 0, 1)
        chosen /= chosen.sum(1, keepdims=True)
        return Roots(np.zeros(len(points), int), candidates[row, best], chosen)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
