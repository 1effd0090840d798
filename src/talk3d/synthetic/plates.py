"""Backgrounds far out of focus: studio walls, rooms with lamps, daylight outdoors.

Everything is drawn in linear light and blurred there, so that bright spots become
discs as they do in a lens.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["draw_plate"]

_SIDE = 96
"""Pixels per side while the plate is drawn."""
_MARGIN = 16
"""Pixels around it, so that blur knows what lies beyond the frame."""
_WARM = np.array([0.08, 0.0, -0.1])
"""Rooms are lit warmly: added to the logarithm of their colour."""
_GRAIN = 0.9
"""Standard deviation of the grain, 8-bit levels."""


def draw_plate(
    generator: np.random.Generator, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw a background, sRGB.

    Args:
        generator: draws kind, colours and places.
        size: pixels per side.
    """
    draw = (_studio, _room, _room, _outdoors)[generator.integers(4)]
    image = draw(generator, _SIDE + 2 * _MARGIN)
    image = image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    codes = np.clip(image, 0, 1).astype(np.float32) ** (1 / 2.2) * 255
    large = cv2.resize(codes, (size, size), interpolation=cv2.INTER_CUBIC)
    large = large + generator.normal(0, _GRAIN, (size, size, 1))
    return np.clip(large, 0, 255).round().astype(np.uint8)


def _studio(generator: np.random.Generator, side: int) -> np.ndarray:
    """Return a paper wall with a pool of light."""
    tone = np.exp(generator.uniform(np.log(0.03), np.log(0.5)))
    colour = tone * np.exp(generator.normal(0, 0.09, 3))
    y, x = np.mgrid[0:side, 0:side] / side
    centre = generator.uniform(0.2, 0.8, 2)
    far = np.hypot(x - centre[0], y - centre[1])
    pool = 0.45 + generator.uniform(0.4, 1.0) * np.exp(-((far / 0.55) ** 2))
    return colour * pool[..., None]


def _room(generator: np.random.Generator, side: int) -> np.ndarray:
    """Return walls, furniture, perhaps a window and lamps."""
    wall = np.exp(generator.uniform(np.log(0.05), np.log(0.4)))
    colour = wall * np.exp(generator.normal(0, 0.05, 3) + _WARM)
    image = np.ones((side, side, 3)) * colour
    left, right = generator.uniform(0.6, 1.3, 2)
    image *= np.linspace(left, right, side)[None, :, None]
    for _ in range(generator.integers(3, 9)):
        x, y = generator.integers(-side // 5, side, 2)
        w = int(generator.integers(side // 12, side // 2))
        h = int(w * generator.uniform(0.6, 3.0))
        tone = wall * np.exp(generator.normal(-0.5, 0.6))
        shade = tone * np.exp(generator.normal(0, 0.09, 3))
        image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = shade
    if generator.random() < 0.4:
        x, w = generator.integers(-side // 8, side), generator.integers(side // 5, side)
        day = generator.uniform(0.6, 1.6) * np.array([0.92, 1.0, 1.1])
        image[: int(side * generator.uniform(0.4, 0.8)), max(x, 0) : max(x + w, 0)] = (
            day
        )
    for _ in range(generator.integers(0, 6)):
        x, y = generator.integers(0, side, 2)
        warm = np.array([1.0, 0.72, 0.42]) * generator.uniform(2, 9)
        cv2.circle(image, (int(x), int(y)), 1, warm.tolist(), -1)
    return _defocus(image, generator.uniform(0.05, 0.1) * side)


def _outdoors(generator: np.random.Generator, side: int) -> np.ndarray:
    """Return sky, leaves or houses, and ground."""
    sky = generator.uniform(0.5, 1.1) * np.array([0.78, 0.92, 1.1])
    green = generator.random() < 0.6
    leaf = np.array([0.085, 0.115, 0.045]) if green else np.array([0.22, 0.19, 0.16])
    image = np.ones((side, side, 3)) * sky
    skyline = int(side * generator.uniform(0.0, 0.5))
    bumps = cv2.resize(
        generator.uniform(0.3, 1.7, (9, 9)), (side, side), interpolation=cv2.INTER_CUBIC
    )
    image[skyline:] = (leaf * np.maximum(bumps, 0.1)[..., None])[skyline:]
    ground = int(side * generator.uniform(0.7, 1.1))
    image[ground:] = np.array([0.20, 0.18, 0.15]) * generator.uniform(0.5, 1.5)
    for _ in range(generator.integers(0, 30) if green else 0):
        x, y = generator.integers(0, side, 2)
        glint = np.array([0.9, 1.0, 0.55]) * generator.uniform(0.5, 3)
        cv2.circle(image, (int(x), int(y)), 1, glint.tolist(), -1)
    return _defocus(image, generator.uniform(0.05, 0.11) * side)


def _defocus(
    image: Float[np.ndarray, "side side 3"], radius: float
) -> Float[np.ndarray, "side side 3"]:
    """Spread every point to a disc, slightly soft."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    spread = cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    return cv2.GaussianBlur(spread, (0, 0), 0.18 * radius)
