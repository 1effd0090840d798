"""A synthetic person from one seed: shape, surface, hair and clothes; and their pose.

The recorded expression is relative to the person's neutral with sealed lips: the
weights that seal the lips and rest the lids belong to the identity. Expressions and
gaze are those of ``talk3d.synthetic.head``.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from talk3d.synthetic.cards import Cards
from talk3d.synthetic.facial_hair import FacialHair, draw_facial_hair
from talk3d.synthetic.hair import grow_hair
from talk3d.synthetic.head import (
    EXPRESSIONS,
    LIDS_LOWER,
    LIDS_UPPER,
    LIPS_LOWER,
    LIPS_UPPER,
    PARTS,
    HeadModel,
    expression_indices,
)
from talk3d.synthetic.looks import Looks, draw_looks
from talk3d.synthetic.outfit import Mesh, fit_collar, make_glasses, make_torso
from talk3d.synthetic.skull import Surface

__all__ = ["Person", "draw_person_looks", "make_person", "neutral_pose", "pose_person"]

_SIGMA_LIMIT, _SIGMA_SCALE = 2.2, 0.9
"""Identity weights are clipped, then scaled: no broken shape was seen."""
_ASYMMETRY = 0.16
_SEX_WEIGHT = 1.25
_LIP_OVERLAP = 0.05
_LID_OVERLAP = 0.06
_FULL_GAZE = 0.63
"""Radians of gaze at which the lids' look shapes reach weight 1."""


@dataclass(frozen=True)
class Person:
    """One synthetic person."""

    seed: int
    """What everything about the person was drawn from."""
    looks: Looks
    """Surface."""
    shape: Float[np.ndarray, "vertices 3"]
    """The person at rest before the lips are sealed, cm."""
    seal: float
    """Weight of ``mouthClose`` that seals the lips."""
    blink_reach: tuple[float, float]
    """Factors on left and right ``eyeBlink`` that close the lids."""
    hair: Cards | None
    """Scalp hair."""
    facial: FacialHair
    """Brows and beard."""
    collar: tuple[float, float]
    """Half axes of the collar, cm."""
    torso: Mesh
    """The clothed torso."""
    glasses: Mesh | None
    """Glasses."""


def make_person(surface: Surface, seed: int) -> Person:
    """Draw a person.

    Args:
        surface: the head model, prepared by ``talk3d.synthetic.skull.skin_surface``.
        seed: the same seed gives the same person.
    """
    streams = [np.random.default_rng([seed, k]) for k in range(1, 4)]
    head = surface.head
    looks = draw_person_looks(seed)
    shape = _draw_shape(head, looks, streams[0])
    collar = fit_collar(head, shape)
    kind = looks.clothes.glasses
    return Person(
        seed=seed,
        looks=looks,
        shape=shape,
        seal=_seal(head, shape),
        blink_reach=_blink_reach(head, shape),
        hair=grow_hair(surface, shape, looks.hair, streams[1]),
        facial=draw_facial_hair(surface, looks, streams[2]),
        collar=collar,
        torso=make_torso(collar),
        glasses=make_glasses(head, shape, kind) if kind else None,
    )


def draw_person_looks(seed: int) -> Looks:
    """Return the looks of the person with this seed, without building the person."""
    return draw_looks(np.random.default_rng([seed, 0]))


def neutral_pose() -> Float[np.ndarray, "53"]:
    """Return the expression with sealed lips and resting lids: all zero."""
    return np.zeros(len(EXPRESSIONS), np.float32)


def pose_person(
    head: HeadModel,
    person: Person,
    expression: Float[np.ndarray, "53"],
    gaze: Float[np.ndarray, "4"],
) -> Float[np.ndarray, "vertices 3"]:
    """Return the vertices of a posed person, cm.

    Args:
        head: the head model.
        person: the person.
        expression: weights relative to the sealed neutral. The lids follow the gaze
            by themselves, so its ``eyeLook`` weights stay zero.
        gaze: left yaw, pitch, right yaw, pitch in radians.
    """
    weights = expression.astype(np.float64)
    weights[expression_indices("mouthClose")] += person.seal
    rest = person.looks.eyes.resting_blink
    lowered = max(0.0, rest)
    for side, index in enumerate(expression_indices("eyeBlink")):
        blink = expression[index]
        wide = expression_indices("eyeWide")[side]
        weights[wide] += max(0.0, -rest) * (1 - blink)
        reach = 1 + (person.blink_reach[side] - 1) * blink
        weights[index] = (blink * (1 - lowered) + lowered) * reach
        pitch, yaw = gaze[2 * side + 1], gaze[2 * side] * (-1 if side else 1)
        for name, angle in (
            ("eyeLookUp", pitch),
            ("eyeLookDown", -pitch),
            ("eyeLookOut", yaw),
            ("eyeLookIn", -yaw),
        ):
            follow = max(0.0, float(angle)) / _FULL_GAZE
            weights[expression_indices(name)[side]] += follow * (1 - blink)
    vertices = head.express(person.shape, weights)
    shut = tuple(float(expression[k]) for k in expression_indices("eyeBlink"))
    return head.turn_eyes(vertices, person.shape, gaze, (shut[0], shut[1]))


def _draw_shape(
    head: HeadModel, looks: Looks, generator: np.random.Generator
) -> np.ndarray:
    modes = len(head.identity)

    def draw() -> np.ndarray:
        weights = generator.normal(size=modes)
        return np.clip(weights, -_SIGMA_LIMIT, _SIGMA_LIMIT) * _SIGMA_SCALE

    weights = draw()
    sex = -_SEX_WEIGHT if looks.woman else _SEX_WEIGHT
    shape = head.shape(weights + sex * _sex_direction(head))
    skew = head.shape(draw()) - head.neutral
    side = np.tanh(head.neutral[:, :1] / 3.0) * _ASYMMETRY * generator.random()
    solid = np.isin(
        head.vertex_part, [k for k, name in enumerate(PARTS) if name in _WHOLE]
    )
    skew[solid] = 0
    return (shape + skew * side).astype(np.float32)


_WHOLE = ("gumstongue", "teeth")
"""Parts that asymmetry leaves alone."""


def _sex_direction(head: HeadModel) -> np.ndarray:
    """Return the smallest change of the modes that makes a head more masculine.

    Wider jaw and neck, longer chin, stronger brow and nose, thinner lips, smaller
    eyes; each measure is linear in the modes and is divided by its spread.
    """
    lm = head.landmarks
    identity = head.identity

    def span(a: int, b: int, axis: int) -> np.ndarray:
        return identity[:, lm[a], axis] - identity[:, lm[b], axis]

    rest = head.neutral
    skin = head.vertex_part <= PARTS.index("headneck")
    neck = skin & (np.abs(rest[:, 1] + 9.2) < 0.9)
    sides = np.where(neck & (rest[:, 0] > 4)), np.where(neck & (rest[:, 0] < -4))
    width = identity[:, sides[0][0], 0].mean(1) - identity[:, sides[1][0], 0].mean(1)
    measures = np.stack(
        [
            width,
            span(12, 4, 0),
            span(57, 8, 1),
            span(24, 45, 2) + span(19, 36, 2),
            span(35, 31, 0),
            span(51, 57, 1),
            span(43, 47, 1),
        ]
    ).astype(np.float64)
    wanted = np.array([1.0, 1.0, 0.6, 0.8, 0.5, -0.6, -0.15])
    measures /= np.linalg.norm(measures, axis=1, keepdims=True) + 1e-9
    gram = measures @ measures.T + 0.3 * np.eye(len(wanted))
    return measures.T @ np.linalg.solve(gram, wanted)


def _seal(head: HeadModel, shape: np.ndarray) -> float:
    """Return the ``mouthClose`` weight at which the lips overlap by 0.5 mm."""
    weights = neutral_pose()
    weights[expression_indices("mouthClose")] = 1
    open_gap = head.gap(shape, LIPS_UPPER, LIPS_LOWER)
    shut = head.gap(head.express(shape, weights), LIPS_UPPER, LIPS_LOWER)
    return max(0.0, (open_gap + _LIP_OVERLAP) / max(open_gap - shut, 1e-3))


def _blink_reach(head: HeadModel, shape: np.ndarray) -> tuple[float, float]:
    """Return the factors at which ``eyeBlink`` 1 overlaps the lids, left and right."""
    factors = []
    for side, index in enumerate(expression_indices("eyeBlink")):
        pairs = slice(2, 4) if side == 0 else slice(0, 2)
        upper, lower = LIDS_UPPER[pairs], LIDS_LOWER[pairs]
        weights = neutral_pose()
        weights[index] = 1
        open_gap = head.gap(shape, upper, lower)
        shut = head.gap(head.express(shape, weights), upper, lower)
        needed = (open_gap + _LID_OVERLAP) / max(open_gap - shut, 1e-3)
        factors.append(float(np.clip(needed, 1, 1.3)))
    return factors[0], factors[1]
