"""What of a head keeps its shape while a face talks, and the detail to follow there.

Comes in: pictures, mattes and landmarks of a recording. Goes out: masks, and grey
pictures of fine detail, for whatever follows a head from frame to frame.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.face import LEFT_EYE, OUTER_LIPS, RIGHT_EYE

__all__ = ["fine_detail", "rigid_area"]

_GAIN = 1.5
_SLOW = 1 / 24
"""Reach of what counts as light, part of the picture's side."""


def fine_detail(
    picture: UInt8[np.ndarray, "size size 3"],
) -> UInt8[np.ndarray, "size size"]:
    """Return detail without slow changes of light, about 128."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slow = cv2.GaussianBlur(grey, (0, 0), picture.shape[0] * _SLOW)
    return np.clip(128 + _GAIN * (grey - slow), 0, 255).astype(np.uint8)


def rigid_area(
    landmarks: Float[np.ndarray, "478 2"], matte: UInt8[np.ndarray, "size size"]
) -> UInt8[np.ndarray, "size size"]:
    """Return 255 where the skull's surface is seen: no eyes, mouth, chin or rim.

    Args:
        landmarks: crop coordinates, 0 to 1.
        matte: 255 is the person.
    """
    size = matte.shape[0]
    mask = (cv2.erode(matte, np.ones((5, 5), np.uint8)) > 200).astype(np.uint8) * 255
    points = landmarks * size
    for ring, grow in ((LEFT_EYE, 1.5), (RIGHT_EYE, 1.5), (OUTER_LIPS, 1.6)):
        outline = points[list(ring)]
        middle = outline.mean(0)
        outline = middle + grow * (outline - middle)
        cv2.fillPoly(mask, [outline.astype(np.int32)], 0)
    # Below the line through the nose's base the jaw moves.
    down = points[152] - points[10]
    down = down / np.linalg.norm(down)
    limit = float(points[2] @ down)
    y, x = np.mgrid[:size, :size]
    mask[x * down[0] + y * down[1] > limit] = 0
    return mask
