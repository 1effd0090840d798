"""Grow the hair of the scalp as strand paths over a person's skull.

Roots are drawn on the scalp; each strand follows its comb direction, gravity and the
wave of its lock, and is pushed outside a radial map of the skull. Strands of a lock
then draw together toward their tips. All lengths are centimetres.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from talk3d.synthetic.cards import Cards, Strands, build_cards, join_cards, unit
from talk3d.synthetic.combing import KNOT, Comb, clear_face, comb_hair, hanging
from talk3d.synthetic.looks import Hair
from talk3d.synthetic.regions import smoothstep
from talk3d.synthetic.skull import SKULL_CENTRE, SkullMap, Surface, draw_roots

__all__ = ["grow_hair"]

_DOWN = np.array([0.0, -1.0, 0.0])


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
    gather: float
    """How far the strands of a lock draw together at their tips."""


_STYLES = {
    "short": _Style(3400, (2.4, 5.0), 0.62, 1.0, 0.35, 0.10, 0.05, 5, 7, 0.45),
    "slick": _Style(2400, (6.0, 11.0), 0.8, 0.8, 0.25, 0.06, 0.0, 7, 9, 0.3),
    "medium": _Style(2200, (8.0, 13.0), 0.9, 1.7, 0.55, 0.15, 0.08, 8, 10, 0.5),
    "bob": _Style(2200, (13.0, 17.0), 1.0, 1.7, 0.8, 0.08, 0.02, 9, 11, 0.4),
    "long": _Style(2200, (24.0, 34.0), 1.1, 2.0, 0.9, 0.12, 0.06, 12, 12, 0.5),
    "curly": _Style(3000, (4.0, 9.0), 0.75, 3.2, 0.12, 0.5, 0.8, 10, 4, 0.25),
    "tied": _Style(2000, (11.0, 15.0), 0.8, 0.7, 0.0, 0.05, 0.0, 8, 10, 0.2),
}
_TAIL = _Style(260, (14.0, 24.0), 1.0, 1.0, 0.8, 0.12, 0.0, 10, 11, 0.3)
_LOCK_CARDS = 16
"""Cards per lock."""


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
        generator: draws roots, lengths, locks and waves.

    Returns:
        The cards, or ``None`` for styles that are paint only.
    """
    if hair.style not in _STYLES:
        return None
    style = _STYLES[hair.style]
    style = replace(style, wobble=style.wobble * hair.wave)
    line = surface.scalp + hair.hairline
    density = np.clip(line / 1.1 + 0.25, 0, 1)
    clear = surface.ear_distance
    if hair.style not in ("long", "bob", "medium"):
        density = density * np.clip((clear - 0.3) / 0.9, 0, 1)
    if style.curl > 0.5:
        density = density**2 * np.clip(line / 1.5, 0, 1)
    roots = draw_roots(surface, density, count=style.cards, generator=generator)
    depth = smoothstep(-0.2, 1.6, line[roots.face])
    comb = comb_hair(
        surface,
        roots,
        hair.style,
        thickness=style.thickness,
        length=generator.uniform(*style.length),
        generator=generator,
    )
    comb = replace(comb, height=comb.height * (0.35 + 0.65 * depth))
    skull = SkullMap(shape[surface.skull])
    start, normals = roots.on(shape), roots.normals(shape)
    locks = _locks(start, generator)
    points = _march(
        start, normals, comb, style, skull=skull, locks=locks, generator=generator
    )
    points = _gather(points, locks, style.gather)
    beside = 0.3 + 0.7 * smoothstep(0.4, 1.8, clear[roots.face])
    lift = comb.height / (style.thickness * 0.75 + 0.06)
    shade = np.clip(0.42 + 0.58 * lift, 0.2, 1.0)[:, None]
    knots = style.segments + 1
    spread = np.exp(generator.normal(0, 0.2, style.cards))
    strands = Strands(
        points=points,
        outward=unit(points - SKULL_CENTRE),
        width=style.width * spread * (0.22 + 0.78 * depth) * beside,
        colour=_colours(hair, locks, generator),
        occlusion=shade * np.linspace(0.55, 1, knots)[None] ** 0.6,
    )
    cards = build_cards(
        strands,
        generator,
        hairs=style.hairs,
        scatter=0.6 if hair.style == "curly" else 0.0,
    )
    if hair.style != "tied":
        return cards
    return join_cards([cards, _tail(skull, hair, generator)])


def _locks(start: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return for each strand the strand that leads its lock."""
    count = max(1, len(start) // _LOCK_CARDS)
    leaders = generator.choice(len(start), count, replace=False)
    return leaders[KDTree(start[leaders]).query(start)[1]]


def _gather(points: np.ndarray, locks: np.ndarray, pull: float) -> np.ndarray:
    """Draw the strands of a lock together toward their tips."""
    t = np.linspace(0, 1, points.shape[1])[None, :, None]
    return points + (points[locks] - points) * pull * t**1.4


def _colours(
    hair: Hair, locks: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    count = len(locks)
    grey = hair.colour_name in ("grey", "white")
    by_card = np.exp(generator.normal(0, 0.07 if grey else 0.06, (count, 1)))
    by_lock = np.exp(generator.normal(0, 0.10, (count, 1)))[locks]
    return hair.colour * by_card * by_lock


def _march(
    start: np.ndarray,
    normals: np.ndarray,
    comb: Comb,
    style: _Style,
    *,
    skull: SkullMap,
    locks: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Follow every strand from its root; return its knots."""
    count, steps = len(start), style.segments
    flat = style.thickness < 1.0
    points = np.zeros((count, steps + 1, 3))
    points[:, 0] = start - normals * 0.05
    heading = unit(normals * (0.35 if flat else 0.75) + comb.direction * 0.8)
    step = (comb.length / steps)[:, None]
    own = generator.random((count, 3)) * 2 * np.pi
    phase = own[locks] + 0.25 * generator.normal(0, 1, (count, 3))
    rate = generator.uniform(0.6, 1.4, count)[locks][:, None]
    swing = style.wobble + style.curl * 1.1
    long = style.gravity > 0.5
    curly = style.curl > 0.5
    for i in range(steps):
        flow = hanging(comb, points[:, i]) if long else comb.direction
        if comb.knot is not None:
            flow = unit(comb.knot - points[:, i])
        t = (i + 1) / steps
        target = flow * (1 - style.gravity * t) + _DOWN * style.gravity * (0.35 + t)
        wobble = np.sin(phase + rate * i * (1.1 if curly else 0.75)) * swing
        noise = generator.normal(0, 0.03, (count, 3))
        keep = 0.6 if curly else 0.55
        heading = unit(heading * keep + unit(target) * 0.5 + wobble * 0.5 + noise)
        point = points[:, i] + heading * step
        if comb.knot is not None:
            near = np.linalg.norm(comb.knot - points[:, i], axis=1, keepdims=True)
            point = points[:, i] + heading * np.minimum(step, near)
        rise = comb.height * min(1.0, 0.25 + (i + 1) / 2.5)
        point = skull.push_out(point, rise, cling=not curly and steps > 5)
        if long:
            point = clear_face(point, comb.height, comb.fringe)
        points[:, i + 1] = point
    return points


def _tail(skull: SkullMap, hair: Hair, generator: np.random.Generator) -> Cards:
    """Return the tail or the bun behind a knot."""
    style = replace(_TAIL, wobble=_TAIL.wobble * hair.wave)
    count = style.cards
    centre = skull.push_out(KNOT[None], np.array([0.6]), cling=False)[0]
    bun = generator.random() < 0.45
    outward = unit(centre - SKULL_CENTRE)
    if bun:
        spin = unit(generator.normal(0, 1, (count, 3)))
        axis = unit(np.cross(spin, generator.normal(0, 1, (count, 3))))
        turn = np.linspace(0, 1.6, style.segments + 1)[None, :, None]
        radius = generator.uniform(1.5, 2.3)
        ball = spin[:, None] * np.cos(turn) + axis[:, None] * np.sin(turn)
        points = centre + outward * radius * 0.8 + ball * radius
        facing = unit(ball)
    else:
        start = centre + generator.normal(0, 0.35, (count, 3))
        drift = generator.normal(0, 0.16, (count, 3)) + outward * 0.9
        comb = Comb(
            direction=unit(drift + _DOWN * 0.2),
            length=generator.uniform(*style.length)
            * generator.uniform(0.8, 1.1, count),
            height=np.full(count, 0.8),
            fringe=np.zeros(count, bool),
            knot=None,
        )
        steady = replace(style, gravity=0.5)
        locks = _locks(start, generator)
        points = _march(
            start,
            np.tile(outward, (count, 1)),
            comb,
            steady,
            skull=skull,
            locks=locks,
            generator=generator,
        )
        facing = unit(points - points.mean(0, keepdims=True) + outward * 0.2)
    strands = Strands(
        points=points,
        outward=facing,
        width=np.full(count, style.width if not bun else 0.9),
        colour=hair.colour * np.exp(generator.normal(0, 0.15, (count, 1))),
        occlusion=np.full(points.shape[:2], 0.75),
    )
    return build_cards(strands, generator, hairs=style.hairs)
