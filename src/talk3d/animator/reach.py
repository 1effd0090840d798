"""Where driving may move the planes: the face.

Lips, lids and brows move the face alone. The generator learned more from its people:
hair and cloth shimmer a little with every word. Comes in: the size of planes. Goes out:
a weight per pixel of each plane, 1 where some expression of the average face takes the
skin, 0 farther away.
"""

import functools

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.eg3d.volume import PlaneAxes, plane_coordinates
from talk3d.face import load_face_shape

__all__ = ["face_reach"]

_MARGIN = 0.03
"""World units by which faces differ from the average."""
_FADE = 0.015
"""Deviation of the blur of the edge, world units."""


@functools.lru_cache(maxsize=4)
def face_reach(
    size: int, axes: PlaneAxes, box: float
) -> Float[Tensor, "3 1 {size} {size}"]:
    """Return the weights for planes of ``size`` pixels over a box of world units.

    Args:
        size: pixels per side of a plane.
        axes: which world axes the planes span.
        box: side of the box the planes cover, world units.
    """
    shape = load_face_shape()
    posed = np.concatenate([shape.mean[None], shape.mean + shape.expression])
    points = torch.from_numpy(posed.reshape(1, -1, 3))
    places = plane_coordinates(points, axes, box=box)[0].numpy()
    pixel = size / box
    width = 2 * round(_MARGIN * pixel) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    weights = []
    for place in (places + 1) / 2 * size - 0.5:
        hull = cv2.convexHull(np.round(place).astype(np.int32))
        inside = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, 1)
        grown = cv2.dilate(inside, disc).astype(np.float32)
        weights.append(cv2.GaussianBlur(grown, (0, 0), _FADE * pixel))
    return torch.from_numpy(np.stack(weights))[:, None]
