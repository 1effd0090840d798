"""Draw plausible expressions and gazes: speech, emotion, brows, blinks.

Weights follow ``talk3d.synthetic.head.EXPRESSIONS`` and are relative to the person's
sealed neutral; gaze is left yaw, pitch, right yaw, pitch in radians.
"""

import numpy as np
from jaxtyping import Float

from talk3d.synthetic.head import expression_indices
from talk3d.synthetic.people import neutral_pose

__all__ = ["draw_expression", "draw_gaze"]

_NEUTRAL_SHARE = 0.3
_SPEECH = (
    "mouthFunnel", "mouthPucker", "mouthStretch", "mouthSmile", "mouthFrown",
    "mouthUpperUp", "mouthLowerDown", "mouthRollLower", "mouthRollUpper", "mouthPress",
    "mouthShrugLower", "mouthShrugUpper", "mouthDimple",
)  # fmt: skip
_RARE = ("jawForward", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "cheekPuff")
_EMOTIONS: tuple[dict[str, float], ...] = (
    {"mouthSmile": 0.9, "cheekSquint": 0.6, "eyeSquint": 0.3, "mouthDimple": 0.2},
    {"mouthSmile": 0.6, "mouthUpperUp": 0.3, "cheekSquint": 0.5, "jawOpen": 0.15},
    {"mouthFrown": 0.8, "browInnerUp": 0.6, "mouthShrugLower": 0.4},
    {"browDown": 0.9, "noseSneer": 0.4, "mouthPress": 0.5, "eyeSquint": 0.3},
    {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.35, "jawOpen": 0.25},
    {"noseSneer": 0.8, "mouthUpperUp": 0.4, "browDown": 0.4, "cheekSquint": 0.3},
)
_BROWS = ("browInnerUp", "browDown", "browOuterUp", "eyeSquint", "eyeWide")
_MOUTH_BUDGET = 1.25
"""Sum of lip weights per side beyond which mixtures look impossible."""


def draw_expression(generator: np.random.Generator) -> Float[np.ndarray, "53"]:
    """Draw the sealed neutral (3 in 10) or a mixture of speech and emotion."""
    weights = neutral_pose()
    if generator.random() < _NEUTRAL_SHARE:
        return weights
    if generator.random() < 0.85:
        _speak(weights, generator)
    if generator.random() < 0.35:
        emotion = _EMOTIONS[generator.integers(len(_EMOTIONS))]
        strength = generator.uniform(0.2, 1.0)
        for name, value in emotion.items():
            _raise(weights, name, value * strength, generator)
    for name in _BROWS:
        if generator.random() < 0.15:
            _raise(weights, name, generator.random() * 0.7, generator)
    if generator.random() < 0.25:
        blink = min(1.0, 1.3 * generator.random())
        _raise(weights, "eyeBlink", blink, generator)
    return _limit(weights)


def draw_gaze(generator: np.random.Generator) -> Float[np.ndarray, "4"]:
    """Draw a gaze: ahead, or within 20 degrees aside and 12 up or down."""
    yaw, pitch = 0.0, 0.0
    if generator.random() < 0.7:
        yaw = np.radians(generator.uniform(-20, 20))
        pitch = np.radians(generator.uniform(-12, 12))
    squint = np.radians(generator.uniform(0, 1.5))
    return np.array([yaw - squint, pitch, yaw + squint, pitch], np.float32)


def _speak(weights: np.ndarray, generator: np.random.Generator) -> None:
    if generator.random() < 0.8:
        jaw = generator.random() ** 1.7 * 0.75
        weights[expression_indices("jawOpen")] = jaw
        if generator.random() < 0.25:
            close = 0.78 * jaw * generator.random()
            weights[expression_indices("mouthClose")] = close
    for name in generator.choice(_SPEECH, generator.integers(1, 5), replace=False):
        _raise(weights, name, generator.random() ** 1.3 * 0.85, generator)
    if generator.random() < 0.15:
        name = _RARE[generator.integers(len(_RARE))]
        _raise(weights, name, generator.random() * 0.5, generator)


def _raise(
    weights: np.ndarray, name: str, value: float, generator: np.random.Generator
) -> None:
    """Raise an expression to at least ``value``, its sides slightly unequal."""
    for index in expression_indices(name):
        uneven = value * (1 + generator.normal(0, 0.08))
        weights[index] = np.clip(max(weights[index], uneven), 0, 1)


def _limit(weights: np.ndarray) -> np.ndarray:
    """Scale lip weights down where too many act at once."""
    lips = np.concatenate([expression_indices(name) for name in _SPEECH])
    sides = np.array([len(expression_indices(n)) for n in _SPEECH])
    share = np.concatenate([np.full(k, 1 / k) for k in sides])
    total = float((weights[lips] * share).sum())
    if total > _MOUTH_BUDGET:
        weights[lips] *= _MOUTH_BUDGET / total
    return weights
