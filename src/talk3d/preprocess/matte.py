"""Soft person masks of a video, and the background behind the person.

In: frames, the crop and the landmarks, one frame after the other. Out: 8-bit mattes
with an edge that follows the picture, and a plate: the median of what was background.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from talk3d.face import FaceNets
from talk3d.preprocess.crop import Crop, cut_crop

__all__ = ["PlateMaker", "calm_masks", "coarse_mask", "finish_matte", "refine_edge"]

_Picture = UInt8[np.ndarray, "size size 3"]
_NET_SIZE = 256
_WIDE = 1.35
"""The network sees ears better when it also sees some surroundings."""
_WIDE_SHARE = 0.7
_GUIDE_SIZE = 256
_GUIDE_NOISE = 1e-4
_PLATE_SAMPLES = 60
_BACKGROUND_BELOW = 12


def coarse_mask(
    nets: FaceNets, image: UInt8[np.ndarray, "height width 3"], crop: Crop
) -> Float[np.ndarray, "256 256"]:
    """Return the network's opinion on the crop (0..1), of two windows and mirrored."""
    margin = (_WIDE - 1) / 2 * crop.side
    wide_crop = Crop(crop.x - margin, crop.y - margin, crop.side * _WIDE, _NET_SIZE)
    near_crop = Crop(crop.x, crop.y, crop.side, _NET_SIZE)
    near, wide = (
        _both_ways(nets, cut_crop(image, window)) for window in (near_crop, wide_crop)
    )
    inner = _NET_SIZE / _WIDE
    start = (_NET_SIZE - inner) / 2
    step = inner / _NET_SIZE
    offset = start + step / 2 - 0.5
    wide = cv2.warpAffine(
        wide,
        np.array([[step, 0, offset], [0, step, offset]]),
        (_NET_SIZE, _NET_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _WIDE_SHARE * wide + (1 - _WIDE_SHARE) * near


def _both_ways(
    nets: FaceNets, picture: UInt8[np.ndarray, "256 256 3"]
) -> Float[np.ndarray, "256 256"]:
    mirrored = nets.person_mask(np.ascontiguousarray(picture[:, ::-1]))[:, ::-1]
    return (nets.person_mask(picture) + mirrored) / 2


def calm_masks(
    masks: Iterable[Float[np.ndarray, "256 256"]],
) -> Iterator[Float[np.ndarray, "256 256"]]:
    """Average each mask with its neighbours in time (1 2 1), without lag."""
    before: np.ndarray | None = None
    now: np.ndarray | None = None
    for after in masks:
        if now is not None:
            yield ((now if before is None else before) + 2 * now + after) / 4
        before, now = now, after
    if now is not None:
        yield ((now if before is None else before) + 3 * now) / 4


def finish_matte(
    coarse: Float[np.ndarray, "256 256"],
    picture: _Picture,
    landmarks: Float[np.ndarray, "478 2"],
) -> UInt8[np.ndarray, "size size"]:
    """Turn a mask into the matte of the person with these landmarks (0..1 of crop)."""
    size = picture.shape[0]
    mask = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    face = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull((landmarks[:468] * size).astype(np.int32))
    cv2.fillConvexPoly(face, hull, 1)
    face = cv2.erode(face, np.ones((3, 3), np.uint8), iterations=max(1, size // 64))
    mask = np.where(face > 0, 1.0, mask)
    mask = np.where(_joined(mask > 0.3, face > 0), mask, 0.0).astype(np.float32)
    return (refine_edge(mask, picture) * 255 + 0.5).astype(np.uint8)


def _joined(
    mask: Bool[np.ndarray, "size size"], face: Bool[np.ndarray, "size size"]
) -> Bool[np.ndarray, "size size"]:
    """Keep the connected parts that hold a piece of the face."""
    if not face.any():
        return mask
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return np.isin(labels, np.unique(labels[face])) & mask


def refine_edge(
    mask: Float[np.ndarray, "size size"], picture: _Picture
) -> Float[np.ndarray, "size size"]:
    """Let the mask's edge follow the picture (guided filter, He et al. 2010).

    The linear model is found at 256 pixels at most and applied at full size.
    """
    size = picture.shape[0]
    small = min(size, _GUIDE_SIZE)
    radius = max(2, small // 64)
    guide = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
    guide = guide.astype(np.float32) / 255
    low = cv2.resize(mask, (small, small), interpolation=cv2.INTER_AREA)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    average, level = mean(guide), mean(low)
    squares = mean(guide * guide) - average * average + _GUIDE_NOISE
    crossed = mean(guide * np.roll(guide, -1, 2)) - average * np.roll(average, -1, 2)
    joint = mean(guide * low[..., None]) - average * level[..., None]
    slope = _solve_symmetric(squares, crossed, joint)
    offset = level - (slope * average).sum(-1)
    slope, offset = mean(slope), mean(offset)
    if small < size:
        slope, offset = (cv2.resize(part, (size, size)) for part in (slope, offset))
    soft = (slope * (picture.astype(np.float32) / 255)).sum(-1) + offset
    # Stretch so that sure person and sure background are exactly 1 and 0.
    return np.clip((soft - 0.1) / 0.8, 0, 1)


def _solve_symmetric(
    squares: np.ndarray, crossed: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Solve 3x3 symmetric systems per pixel by the adjugate.

    ``squares``: the diagonal; ``crossed``: entries 01, 12, 20.
    """
    a, b, c = np.moveaxis(squares, -1, 0)
    d, e, f = np.moveaxis(crossed, -1, 0)
    inverse = (b * c - e * e, f * e - d * c, d * e - f * b)
    determinant = a * inverse[0] + d * inverse[1] + f * inverse[2]
    second = (inverse[1], a * c - f * f, d * f - a * e)
    third = (inverse[2], second[2], a * b - d * d)
    x, y, z = np.moveaxis(right, -1, 0)
    rows = [p * x + q * y + r * z for p, q, r in (inverse, second, third)]
    return np.stack(rows, -1) / np.maximum(determinant, 1e-14)[..., None]


class PlateMaker:
    """Collects background pixels over a video in bounded memory."""

    def __init__(self, frames: int) -> None:
        self._every = max(1, frames // _PLATE_SAMPLES)
        self._pictures: list[np.ndarray] = []

    def add(
        self, index: int, picture: _Picture, matte: UInt8[np.ndarray, "size size"]
    ) -> None:
        """Offer one frame; some of them are kept."""
        if index % self._every or len(self._pictures) > 2 * _PLATE_SAMPLES:
            return
        reach = max(3, picture.shape[0] // 40)
        near = cv2.dilate(matte, np.ones((reach, reach), np.uint8))
        kept = picture.astype(np.int16)
        kept[near > _BACKGROUND_BELOW] = -1
        self._pictures.append(kept)

    def finish(self) -> tuple[_Picture, float]:
        """Return the plate and the part of it that was never seen (filled in)."""
        stack = np.stack(self._pictures)
        count = (stack[..., 0] >= 0).sum(0)
        # Unseen values sort first: the median of the seen counts from the end.
        ordered = np.sort(stack, axis=0)
        middle = np.minimum(len(stack) - (count + 1) // 2, len(stack) - 1)
        plate = np.take_along_axis(ordered, middle[None, ..., None], 0)[0]
        unseen = count == 0
        plate = np.where(unseen[..., None], 0, plate).astype(np.uint8)
        return fill_unseen(plate, unseen), float(unseen.mean())


def fill_unseen(plate: _Picture, unseen: Bool[np.ndarray, "size size"]) -> _Picture:
    """Fill holes smoothly from their rim, coarse to fine (push-pull)."""
    if not unseen.any():
        return plate
    if unseen.all():
        return np.full_like(plate, 128)
    weight = (~unseen).astype(np.float32)
    filled = _push_pull(plate.astype(np.float32) * weight[..., None], weight)
    return np.where(unseen[..., None], np.clip(filled + 0.5, 0, 255), plate).astype(
        np.uint8
    )


def _push_pull(
    colour: Float[np.ndarray, "height width 3"],
    weight: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width 3"]:
    """Return colours everywhere; ``colour`` is already multiplied by ``weight``."""
    if min(weight.shape) <= 2:
        return np.broadcast_to(
            colour.sum((0, 1)) / max(float(weight.sum()), 1e-6), colour.shape
        ).copy()
    half = (weight.shape[1] // 2, weight.shape[0] // 2)
    low_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    low_colour = cv2.resize(colour, half, interpolation=cv2.INTER_AREA)
    gain = np.minimum(1.0, 4 * low_weight) / np.maximum(low_weight, 1e-6)
    coarse = _push_pull(low_colour * gain[..., None], low_weight * gain)
    coarse = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return colour + (1 - weight)[..., None] * coarse
