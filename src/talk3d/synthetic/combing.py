"""Where the hair of each style goes: direction, length and height of every strand.

All lengths are centimetres; positions are those of the mean head.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from talk3d.synthetic.cards import unit
from talk3d.synthetic.regions import smoothstep
from talk3d.synthetic.skull import Roots, Surface

__all__ = ["KNOT", "Comb", "clear_face", "comb_hair", "hanging"]

KNOT = np.array([0.0, 6.0, -9.6])
"""Where tied hair meets, on the mean head."""
_FRINGED = ("medium", "long", "bob")
_CROPPED = ("short", "slick", "curly")


@dataclass(frozen=True)
class Comb:
    """What each strand is told."""

    direction: Float[np.ndarray, "strands 3"]
    """Unit direction at the root."""
    length: Float[np.ndarray, " strands"]
    """Length of the strand."""
    height: Float[np.ndarray, " strands"]
    """Distance to keep from the skull."""
    fringe: Bool[np.ndarray, " strands"]
    """Strands that fall over the forehead."""
    knot: Float[np.ndarray, "3"] | None
    """Where tied hair meets."""


def comb_hair(
    surface: Surface,
    roots: Roots,
    style: str,
    *,
    thickness: float,
    length: float,
    generator: np.random.Generator,
) -> Comb:
    """Comb a head.

    Args:
        surface: the mean head's skin.
        roots: where the strands grow.
        style: a style that is grown, see ``talk3d.synthetic.looks.HAIR_STYLES``.
        thickness: height of the hair above the skull.
        length: length of the uncut hair.
        generator: draws parting, fringe and differences between strands.
    """
    rest = roots.on(surface.head.neutral)
    count = len(rest)
    lengths = length * np.exp(generator.normal(0, 0.12, count))
    normals = roots.normals(surface.head.neutral)
    direction, stretch, rise = _directions(rest, normals, style, generator)
    lengths = lengths * stretch
    height = generator.random(count) ** 0.8 * thickness * rise + 0.06
    if style in _CROPPED:
        near = np.clip(1.6 - surface.ear_distance[roots.face], 0, 1)
        nape = smoothstep(-5.2, -0.5, rest[:, 1])
        lengths = lengths * (1 - 0.8 * near) * (0.12 + 0.88 * nape)
        height = height * (1 - 0.75 * near) * (0.3 + 0.7 * nape)
    if style == "tied":
        lengths = np.where(surface.ear_distance[roots.face] < 1.3, 0.5, lengths)
    fringe = np.zeros(count, bool)
    if style in _FRINGED and generator.random() < 0.38:
        slant = generator.choice([0, 0.55, -0.55])
        x, y, z = rest.T
        line = surface.scalp[roots.face]
        fringe = (z > 3.5) & (np.abs(x) < 5.0) & (line < 3.2) & (y > 9)
        down = np.c_[x * 0.06 + slant, np.full(count, -0.75), np.full(count, 0.55)]
        direction[fringe] = unit(down)[fringe]
        cut = generator.uniform(5.2, 7.2) * np.exp(generator.normal(0, 0.09, count))
        lengths[fringe] = (cut * (1 + 0.12 * np.abs(x) / 5))[fringe]
        height[fringe] = np.minimum(height[fringe], 0.9)
    knot = KNOT if style == "tied" else None
    return Comb(direction, lengths, height, fringe, knot)


def hanging(comb: Comb, point: Float[np.ndarray, "strands 3"]) -> np.ndarray:
    """Return the direction of long hair: combed above, hanging below the temples."""
    low = smoothstep(5.0, 1.0, point[:, 1])[:, None]
    back = -0.28 * smoothstep(3, 8, point[:, 2]) * ~comb.fringe
    fall = np.c_[np.sign(point[:, 0]) * 0.15, -np.ones(len(point)), back]
    return comb.direction * (1 - low) + fall * low


def clear_face(
    point: Float[np.ndarray, "strands 3"],
    height: Float[np.ndarray, " strands"],
    fringe: Bool[np.ndarray, " strands"],
) -> Float[np.ndarray, "strands 3"]:
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


def _directions(
    rest: np.ndarray, normals: np.ndarray, style: str, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float, np.ndarray | float]:
    """Return comb directions, length factors and height factors."""
    x, y, z = rest.T
    one = np.ones(len(rest))
    top, front = smoothstep(5, 11, y), smoothstep(2, 7, z)
    if style == "short":
        fade = np.interp(y, [-5, 0, 4, 8, 12], [0.16, 0.22, 0.4, 0.75, 1.0])
        comb = _short_comb(rest, top, front, generator)
        return unit(comb), fade, np.clip(fade * 1.2, 0.2, 1)
    if style == "slick":
        comb = np.c_[x * 0.03, 0.15 * front - 0.25 * (1 - top), -one]
        stretch = np.interp(y, [-5, 2, 9], [0.25, 0.45, 1])
        return unit(comb), stretch, np.interp(y, [-4, 4, 11], [0.3, 0.5, 1.0])
    if style == "tied":
        comb = np.c_[x * 0.02, 0.25 * front, -one]
        return unit(comb), 1.0, np.interp(y, [-4, 4, 11], [0.35, 0.5, 1.0])
    if style == "curly":
        comb = normals + np.c_[0 * one, -0.15 * one, 0 * one]
        stretch = np.interp(y, [-5, 3, 9], [0.35, 0.7, 1]) * generator.uniform(0.6, 1.2)
        return unit(comb), stretch, generator.uniform(0.55, 1.1)
    central = generator.random() < 0.3
    parting = (
        0.0 if central else generator.choice([-1, 1]) * generator.uniform(0.8, 3.4)
    )
    across = np.sign(x - parting - 0.15 * generator.normal(0, 1, len(rest)))
    comb = np.c_[
        across * top + np.sign(x) * 0.12, -0.2 - 1.0 * (1 - top), -1.25 * front - 0.15
    ]
    return unit(comb), 1.0, generator.uniform(0.7, 1.25)


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
