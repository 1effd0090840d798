"""Light for a render: three lamps and a soft surround, drawn per picture.

Directions point toward the lamp, world axes. The surround is nine spherical-harmonic
coefficients per colour in the order 1, y, z, x, xy, yz, 3z²-1, xz, x²-y².
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Light", "draw_light", "studio_light"]


@dataclass(frozen=True)
class Light:
    """Lamps, surround and exposure."""

    directions: Float[np.ndarray, "3 3"]
    """Unit directions to the key, fill and rim lamp."""
    colours: Float[np.ndarray, "3 3"]
    """Linear strength of each lamp."""
    surround: Float[np.ndarray, "9 3"]
    """Spherical harmonics of the surround."""
    softness: float
    """Radius of the key's shadow filter, in shadow map widths."""
    exposure: float
    """Factor before tone mapping."""


def draw_light(generator: np.random.Generator) -> Light:
    """Draw a light: soft for most, one in seven hard."""
    hard = generator.random() < 0.15
    key_azimuth = generator.uniform(-70, 70)
    side = np.sign(key_azimuth)
    directions = np.stack(
        [
            _direction(key_azimuth, generator.uniform(5, 50)),
            _direction(-side * generator.uniform(25, 85), generator.uniform(-10, 30)),
            _direction(
                generator.choice([-1, 1]) * generator.uniform(110, 160),
                generator.uniform(10, 50),
            ),
        ]
    )
    strength = generator.uniform(1.3, 1.9) if hard else generator.uniform(0.8, 1.35)
    rim = generator.uniform(0.2, 1.1) * (generator.random() < 0.7)
    colours = np.stack(
        [
            _kelvin(generator.uniform(4500, 7000)) * strength,
            _kelvin(generator.uniform(5000, 8500)) * generator.uniform(0.08, 0.3),
            _kelvin(generator.uniform(5000, 9000)) * rim,
        ]
    )
    level = generator.uniform(0.16, 0.26) if hard else generator.uniform(0.24, 0.44)
    sky = _kelvin(generator.uniform(5500, 8500)) * level
    ground = (
        _kelvin(generator.uniform(4000, 6500)) * level * generator.uniform(0.4, 0.8)
    )
    surround = np.zeros((9, 3))
    surround[0] = (sky + ground) / 2
    surround[1] = (sky - ground) / 2 * 0.9
    toward = directions[0] * 0.4 * level
    surround[2] += toward[2]
    surround[3] += toward[0]
    surround[4] = generator.normal(0, 0.03) * level
    surround[6] = generator.normal(0, 0.02) * level
    surround[7] = generator.normal(0, 0.05) * level
    return Light(
        directions=directions,
        colours=colours,
        surround=surround,
        softness=generator.uniform(0.005, 0.012)
        if hard
        else generator.uniform(0.015, 0.035),
        exposure=generator.uniform(0.78, 1.02),
    )


def studio_light() -> Light:
    """Return one fixed, soft, frontal light for comparisons."""
    surround = np.zeros((9, 3))
    surround[0], surround[1], surround[2] = 0.52, 0.12, 0.1
    return Light(
        directions=np.stack(
            [_direction(25.0, 30.0), _direction(-45.0, 5.0), _direction(140.0, 30.0)]
        ),
        colours=np.array([[0.62] * 3, [0.2] * 3, [0.2] * 3]),
        surround=surround,
        softness=0.025,
        exposure=1.0,
    )


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    """Return a unit vector from degrees; azimuth 0 is in front of the face."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _kelvin(temperature: float) -> np.ndarray:
    """Return a colour of brightness about 1; 6500 is white."""
    t = (temperature - 6500) / 4000
    return np.array([1 - 0.16 * t, 1.0, 1 + 0.26 * t])
