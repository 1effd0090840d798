"""Hair as flat cards: strips along a strand's path, cut into strands in the shader.

In: strand paths in model centimetres. Out: vertices in world units, ready to upload.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from talk3d.synthetic.head import to_world

__all__ = ["CARD_LAYOUT", "Cards", "Strands", "build_cards", "join_cards", "unit"]

CARD_LAYOUT = (
    "3f 3f 3f 4f 4f",
    "position",
    "tangent",
    "normal",
    "card",
    "colour",
)
"""Vertex layout: ``card`` = across, along, random, strands; ``colour`` = rgb, ao."""

_FLOATS = 17
_WIDTH_PROFILE = ([0, 0.15, 0.7, 1], [0.35, 1, 0.9, 0.4])


@dataclass(frozen=True)
class Cards:
    """Triangles of hair."""

    vertices: Float[np.ndarray, "vertices 17"]
    """Rows in the order of ``CARD_LAYOUT``; world units."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Vertex indices."""


@dataclass(frozen=True)
class Strands:
    """Strand paths, one card each."""

    points: Float[np.ndarray, "cards knots 3"]
    """Paths from root to tip, cm."""
    outward: Float[np.ndarray, "cards knots 3"]
    """Unit directions away from the head."""
    width: Float[np.ndarray, " cards"]
    """Width of the card, cm."""
    colour: Float[np.ndarray, "cards 3"]
    """Linear reflectance."""
    occlusion: Float[np.ndarray, "cards knots"]
    """Part of the sky that is seen, 0 to 1."""


def unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return vectors of length one."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def build_cards(
    strands: Strands,
    generator: np.random.Generator,
    *,
    hairs: int,
    scatter: float = 0.0,
) -> Cards:
    """Turn paths into cards.

    Args:
        strands: the paths.
        generator: draws twist and the number that seeds each card's strands.
        hairs: strands a card is cut into.
        scatter: how far the cards turn away from the head's surface, for curls.
    """
    points, (count, knots) = strands.points, strands.points.shape[:2]
    tangent = unit(np.gradient(points, axis=1))
    facing = strands.outward
    if scatter:
        facing = unit(facing + generator.normal(0, scatter, (count, 1, 3)))
    side = unit(np.cross(tangent, facing))
    normal = unit(np.cross(side, tangent))
    normal *= np.sign((normal * facing).sum(-1, keepdims=True))
    twist = (generator.random(count) - 0.5) * 0.7
    side = unit(side + normal * twist[:, None, None])
    along = np.linspace(0, 1, knots)
    half = strands.width[:, None] * np.interp(along, *_WIDTH_PROFILE) * 0.5
    offset = side * half[..., None]
    rows = np.zeros((count, knots, 2, _FLOATS), np.float32)
    rows[:, :, 0, :3] = to_world(points - offset)
    rows[:, :, 1, :3] = to_world(points + offset)
    rows[..., 3:6] = tangent[:, :, None]
    rows[:, :, 0, 6:9] = unit(strands.outward - side * 0.35)
    rows[:, :, 1, 6:9] = unit(strands.outward + side * 0.35)
    rows[:, :, 1, 9] = 1
    rows[..., 10] = along[None, :, None]
    rows[..., 11] = generator.random(count)[:, None, None]
    rows[..., 12] = hairs
    rows[..., 13:16] = strands.colour[:, None, None]
    rows[..., 16] = strands.occlusion[:, :, None]
    start = np.arange(count)[:, None] * knots + np.arange(knots - 1)[None]
    first = start.ravel() * 2
    quads = np.stack([first + k for k in (0, 1, 2, 2, 1, 3)], 1)
    return Cards(rows.reshape(-1, _FLOATS), quads.reshape(-1, 3).astype(np.int32))


def join_cards(parts: list[Cards]) -> Cards | None:
    """Return all cards as one, or ``None`` if there are none."""
    if not parts:
        return None
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    return Cards(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate(
            [part.triangles + start for part, start in zip(parts, starts, strict=True)]
        ).astype(np.int32),
    )
