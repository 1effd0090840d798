"""Grow the hair of the scalp as strand paths over a person's skull.

Roots are drawn on the scalp; each strand follows its comb direction, gravity and a
wobble, and is pushed outside a radial map of the skull. All lengths are centimetres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, grey_dilation
from scipy.spatial import cKDTree

from talk3d.synthetic.cards import Cards, Strands, build_cards, unit
from talk3d.synthetic.head import PARTS, HeadModel
from talk3d.synthetic.looks import Hair
from talk3d.synthetic.regions import scalp_field, smoothstep

__all__ = ["Roots", "Surface", "draw_roots", "grow_hair", "skin_surface"]

SKULL_CENTRE = np.array([0, 4.5, 0.3])
_DOWN = np.array([0.0, -1.0, 0.0])
_LONG = ("medium", "long", "bob")
_CROPPED = ("short", "slick", "curly")


@dataclass(frozen=True)
class _Style:
    cards: int
    length: tuple[float, float]
    width: float
    thickness: float
    """Height of the hair above the skull."""
    gravity: float
    wobble: float
    curl: float
    segments: int
    hairs: int
    """Strands a card is cut into."""


_STYLES = {
    "short": _Style(3400, (2.4, 5.0), 0.62, 1.0, 0.35, 0.10, 0.05, 5, 7),
    "slick": _Style(2400, (6, 11), 0.8, 0.8, 0.25, 0.06, 0.0, 7, 9),
    "medium": _Style(2200, (8, 13), 0.9, 1.7, 0.55, 0.15, 0.08, 8, 10),
    "bob": _Style(2200, (13, 17), 1.0, 1.7, 0.8, 0.08, 0.02, 9, 11),
    "long": _Style(2200, (24, 34), 1.1, 2.0, 0.9, 0.12, 0.06, 12, 12),
    "curly": _Style(3000, (4, 9), 0.75, 3.2, 0.12, 0.5, 0.8, 10, 4),
}


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


@dataclass(frozen=True)
class _Comb:
    """What each root is told: where to go, how far, how high."""

    direction: np.ndarray
    length: np.ndarray
    height: np.ndarray
    fringe: np.ndarray


def skin_surface(head: HeadModel) -> Surface:
    """Prepare a head model for sowing hair."""
    skin = head.triangle_part <= PARTS.index("headneck")
    triangles = head.triangles[skin]
    corners = head.neutral[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ears = cKDTree(head.neutral[head.ear])
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


def grow_hair(
    surface: Surface,
    shape: Float[np.ndarray, "vertices 3"],
    hair: Hair,
    generator: np.random.Generator,
) -> Cards | None:
    """Grow a person's scalp hair.

    Args:
        surface: the mean head's skin.
        shape: the person at rest, cm.
        hair: style and colour.
        generator: draws roots, lengths and wobble.

    Returns:
        The cards, or ``None`` for styles that are paint only.
    """
    if hair.style not in _STYLES:
        return None
    style = _STYLES[hair.style]
    line = surface.scalp + hair.hairline
    density = np.clip(line / 1.1 + 0.25, 0, 1)
    if style.curl > 0.5:
        density = density**2 * np.clip(line / 1.5, 0, 1)
    roots = draw_roots(surface, density, count=style.cards, generator=generator)
    depth = smoothstep(-0.2, 1.6, line[roots.face])
    comb = _comb(surface, roots, hair.style, depth, generator)
    skull = _SkullMap(shape[surface.skull])
    points = _march(roots, shape, comb, style, skull=skull, generator=generator)
    colour = hair.colour * np.exp(generator.normal(0, 0.13, (style.cards, 1)))
    if hair.colour_name in ("grey", "white"):
        colour = colour * np.exp(generator.normal(0, 0.12, (style.cards, 1)))
    knots = style.segments + 1
    lift = comb.height / (style.thickness * 0.75 + 0.06)
    shade = np.clip(0.30 + 0.7 * lift, 0.2, 1.0)[:, None]
    spread = np.exp(generator.normal(0, 0.2, style.cards))
    return build_cards(
        Strands(
            points=points,
            outward=unit(points - SKULL_CENTRE),
            width=style.width * spread * (0.22 + 0.78 * depth),
            colour=colour,
            occlusion=shade * np.linspace(0.55, 1, knots)[None] ** 0.6,
        ),
        generator,
        hairs=style.hairs,
        scatter=0.6 if hair.style == "curly" else 0.0,
    )


def _comb(
    surface: Surface,
    roots: Roots,
    style_name: str,
    depth: np.ndarray,
    generator: np.random.Generator,
) -> _Comb:
    style = _STYLES[style_name]
    count = style.cards
    rest = roots.on(surface.head.neutral)
    length = generator.uniform(*style.length) * np.exp(generator.normal(0, 0.12, count))
    direction, stretch, height = _directions(
        rest, roots.normals(surface.head.neutral), style_name, generator
    )
    length = length * stretch
    height = generator.random(count) ** 0.8 * style.thickness * height + 0.06
    if style_name in _CROPPED:
        near = np.clip(1.6 - surface.ear_distance[roots.face], 0, 1)
        nape = smoothstep(-5.2, -0.5, rest[:, 1])
        length = length * (1 - 0.8 * near) * (0.12 + 0.88 * nape)
        height = height * (1 - 0.75 * near) * (0.3 + 0.7 * nape)
    fringe = np.zeros(count, bool)
    if style_name in _LONG and generator.random() < 0.38:
        slant = generator.choice([0, 0.55, -0.55])
        x, y, z = rest.T
        line = surface.scalp[roots.face]
        fringe = (z > 3.5) & (np.abs(x) < 5.0) & (line < 3.2) & (y > 9)
        down = np.c_[x * 0.06 + slant, np.full(count, -0.75), np.full(count, 0.55)]
        direction[fringe] = unit(down)[fringe]
        cut = generator.uniform(5.2, 7.2) * np.exp(generator.normal(0, 0.09, count))
        length[fringe] = (cut * (1 + 0.12 * np.abs(x) / 5))[fringe]
        height[fringe] = np.minimum(height[fringe], 0.9)
    return _Comb(direction, length, height * (0.35 + 0.65 * depth), fringe)


def _directions(
    rest: np.ndarray, normals: np.ndarray, style: str, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float, np.ndarray | float]:
    """Return comb directions, length factors and height factors."""
    x, y, z = rest.T
    count = len(rest)
    one = np.ones(count)
    top, front = smoothstep(5, 11, y), smoothstep(2, 7, z)
    central = generator.random() < 0.3
    parting = (
        0.0 if central else generator.choice([-1, 1]) * generator.uniform(0.8, 3.2)
    )
    across = np.sign(x - parting - 0.15 * generator.normal(0, 1, count))
    if style == "short":
        fade = np.interp(y, [-5, 0, 4, 8, 12], [0.16, 0.22, 0.4, 0.75, 1.0])
        comb = _short_comb(rest, top, front, generator)
        return unit(comb), fade, np.clip(fade * 1.2, 0.2, 1)
    if style == "slick":
        comb = np.c_[x * 0.03, 0.15 * front - 0.25 * (1 - top), -one]
        stretch = np.interp(y, [-5, 2, 9], [0.25, 0.45, 1])
        return unit(comb), stretch, np.interp(y, [-4, 4, 11], [0.3, 0.5, 1.0])
    if style == "curly":
        comb = normals + np.c_[0 * one, -0.15 * one, 0 * one]
        stretch = np.interp(y, [-5, 3, 9], [0.35, 0.7, 1]) * generator.uniform(0.7, 1.2)
        return unit(comb), stretch, 1.0
    comb = np.c_[
        across * top + np.sign(x) * 0.12, -0.2 - 1.0 * (1 - top), -0.85 * front - 0.15
    ]
    return unit(comb), 1.0, 1.0


def _short_comb(
    rest: np.ndarray, top: np.ndarray, front: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    x = rest[:, 0]
    one = np.ones(len(rest))
    kind = generator.choice(["forward", "side", "back", "up"])
    side = generator.choice([-1.0, 1.0])
    if kind == "forward":
        return np.c_[x * 0.08, -0.25 - 0.5 * (1 - top), np.where(top > 0.3, 1.0, 0.1)]
    if kind == "side":
        sweep = np.where(top > 0.3, -side, np.sign(x) * 0.05)
        return np.c_[sweep, -0.1 - 0.8 * (1 - top), 0.25 * top]
    if kind == "back":
        return np.c_[x * 0.04, -0.1 - 0.8 * (1 - top), -0.9 * one]
    return np.c_[x * 0.06, 0.9 * top - 0.5 * (1 - top), 0.35 * front - 0.2]


def _march(
    roots: Roots,
    shape: np.ndarray,
    comb: _Comb,
    style: _Style,
    *,
    skull: "_SkullMap",
    generator: np.random.Generator,
) -> np.ndarray:
    """Follow every strand from its root; return its knots."""
    count, steps = style.cards, style.segments
    start, normals = roots.on(shape), roots.normals(shape)
    flat = style.thickness < 1.0
    points = np.zeros((count, steps + 1, 3))
    points[:, 0] = start - normals * 0.05
    heading = unit(normals * (0.35 if flat else 0.75) + comb.direction * 0.8)
    step = (comb.length / steps)[:, None]
    phase = generator.random((count, 3)) * 2 * np.pi
    rate = generator.uniform(0.6, 1.4, count)[:, None]
    swing = style.wobble + style.curl * 1.1
    long = steps >= 8 and style.curl < 0.5
    for i in range(steps):
        flow = _hang(comb, points[:, i]) if long else comb.direction
        t = (i + 1) / steps
        target = flow * (1 - style.gravity * t) + _DOWN * style.gravity * (0.35 + t)
        wobble = np.sin(phase + rate * i * (1.1 if style.curl > 0.5 else 0.55)) * swing
        keep = 0.55 if style.curl < 0.5 else 0.6
        noise = generator.normal(0, 0.03, (count, 3))
        heading = unit(heading * keep + unit(target) * 0.5 + wobble * 0.5 + noise)
        point = points[:, i] + heading * step
        rise = comb.height * min(1.0, 0.25 + (i + 1) / 2.5)
        point = skull.push_out(point, rise, cling=style.curl < 0.5 and steps > 5)
        if long:
            point = _clear_face(point, comb.height, comb.fringe)
        points[:, i + 1] = point
    return points


def _hang(comb: _Comb, point: np.ndarray) -> np.ndarray:
    """Return the direction of long hair: combed above, hanging below the temples."""
    low = smoothstep(5.0, 1.0, point[:, 1])[:, None]
    back = -0.28 * smoothstep(3, 8, point[:, 2]) * ~comb.fringe
    fall = np.c_[np.sign(point[:, 0]) * 0.15, -np.ones(len(point)), back]
    return comb.direction * (1 - low) + fall * low


def _clear_face(
    point: np.ndarray, height: np.ndarray, fringe: np.ndarray
) -> np.ndarray:
    """Move long hair out of the face and up onto the shoulders."""
    x, y, z = point.T
    border = 6.4 - 1.2 * smoothstep(-2, -9, y) + 0.3 * np.clip(6 - z, 0, 5)
    inside = (z > 4.5) & (y < 8) & (np.abs(x) < border) & ~fringe
    x = np.where(inside, np.sign(x) * border, x)
    ahead = (z > 5.5) & (y < 7) & ~fringe
    z = np.where(ahead, 5.5 + (z - 5.5) * 0.4, z)
    shoulder = -11.0 - np.clip((np.hypot(x, z * 1.5) - 7) * 0.55, 0, 9) + 0.3
    y = np.maximum(y, shoulder + height * 0.8 - 0.02)
    return np.stack([x, y, z], 1)


class _SkullMap:
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
        self._grid = gaussian_filter(grid, 0.8, mode=("nearest", "wrap"))

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
