"""Say where a number is measured: the person, the mouth, the eyes.

In: the truth's landmarks (478 points, crop coordinates in [0, 1]; numbering of
`talk3d.face`) and its matte. Out: masks (bool, height x width) and boxes in pixels. All
regions come from the *truth*, never from the result, so a result cannot move them.

| region | definition                                                            |
|--------|-----------------------------------------------------------------------|
| matte  | matte above 0.5                                                       |
| full   | the whole picture                                                     |
| mouth  | box around the outer lips, each side 1.3 times as long, same centre   |
| eyes   | likewise around the lids of each eye, both boxes together             |
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from talk3d.face import LEFT_EYE, RIGHT_EYE

__all__ = [
    "LIPS_INNER",
    "LIPS_OUTER",
    "Box",
    "box_around",
    "box_mask",
    "eye_boxes",
    "matte_mask",
    "mouth_box",
    "region_masks",
    "shrink",
]

Landmarks = Float[np.ndarray, "478 2"]
Mask = Bool[np.ndarray, "height width"]

LIPS_OUTER = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375,
    291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # fmt: skip
"""Outer lip contour: from the right corner along the lower lip and back above."""
LIPS_INNER = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324,
    308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
"""Inner lip contour, in the same order."""

_WIDEN = 1.3
_SMALLEST = 12
_OPAQUE = 127


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Return this part of a picture (rows and columns first)."""
        return picture[self.top : self.bottom, self.left : self.right]


def box_around(
    points: Float[np.ndarray, "points 2"],
    size: tuple[int, int],
    *,
    widen: float = _WIDEN,
) -> Box:
    """Box some points, `widen` times as long on each side, cut to the picture.

    Args:
        points: In [0, 1] of the picture, x and y.
        size: Width and height of the picture in pixels.
        widen: 1.3 makes the box 30 % wider and higher about its centre.
    """
    pixels = points * np.asarray(size)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    centre = (low + high) / 2
    half = np.maximum((high - low) / 2 * widen, _SMALLEST / 2)
    start = np.clip(np.floor(centre - half), 0, np.asarray(size) - _SMALLEST)
    stop = np.clip(np.ceil(centre + half), start + _SMALLEST, np.asarray(size))
    return Box(int(start[0]), int(start[1]), int(stop[0]), int(stop[1]))


def mouth_box(landmarks: Landmarks, size: tuple[int, int]) -> Box:
    """Box the outer lips, 30 % wider."""
    return box_around(landmarks[list(LIPS_OUTER)], size)


def eye_boxes(landmarks: Landmarks, size: tuple[int, int]) -> tuple[Box, Box]:
    """Box the lids of the left and of the right eye, each 30 % wider."""
    return (
        box_around(landmarks[list(LEFT_EYE)], size),
        box_around(landmarks[list(RIGHT_EYE)], size),
    )


def box_mask(boxes: tuple[Box, ...], size: tuple[int, int]) -> Mask:
    """Mark the pixels of some boxes."""
    mask = np.zeros((size[1], size[0]), bool)
    for box in boxes:
        box.cut(mask)[:] = True
    return mask


def matte_mask(matte: UInt8[np.ndarray, "height width"]) -> Mask:
    """Mark where the matte is above one half."""
    return matte > _OPAQUE


def shrink(mask: Mask) -> Mask:
    """Take 1/64 of the picture's width (at least a pixel) off the rim of a mask.

    The rim between person and background is an edge of its own; sharpness is measured
    inside it.
    """
    steps = max(round(mask.shape[1] / 64), 1)
    padded = np.pad(mask, steps, mode="edge").astype(np.uint8)
    kernel = np.ones((2 * steps + 1, 2 * steps + 1), np.uint8)
    return cv2.erode(padded, kernel)[steps:-steps, steps:-steps] > 0


def region_masks(
    matte: UInt8[np.ndarray, "height width"] | None,
    landmarks: Landmarks | None,
    size: tuple[int, int],
) -> dict[str, Mask]:
    """Return the masks of a frame by name; what cannot be known is left out."""
    masks = {"full": np.ones((size[1], size[0]), bool)}
    if matte is not None:
        masks["matte"] = matte_mask(matte)
    if landmarks is not None and np.isfinite(landmarks).all():
        masks["mouth"] = box_mask((mouth_box(landmarks, size),), size)
        masks["eyes"] = box_mask(eye_boxes(landmarks, size), size)
    return masks
