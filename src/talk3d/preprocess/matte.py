"""Soft person masks of a video, and the background behind the person.

In: crops (uint8 RGB) one after the other. Out: 8-bit mattes with an edge that follows
the picture, and a plate: the median of what was background.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.face import FaceNets

__all__ = ["PlateMaker", "person_matte", "refine_edge"]

_Image = UInt8[np.ndarray, "size size 3"]
_SAMPLES = 48


def person_matte(
    nets: FaceNets, image: _Image, face: tuple[float, float]
) -> UInt8[np.ndarray, "size size"]:
    """Return the matte of the person whose face is at ``face`` (pixels)."""
    size = image.shape[0]
    coarse = cv2.resize(
        nets.person_mask(image), (size, size), interpolation=cv2.INTER_LINEAR
    )
    coarse = np.where(_with_face(coarse > 0.3, face), coarse, 0.0)
    soft = refine_edge(coarse, image)
    return (soft * 255 + 0.5).astype(np.uint8)


def _with_face(mask: np.ndarray, face: tuple[float, float]) -> np.ndarray:
    """Keep the connected part that holds the face."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    column = int(np.clip(face[0], 0, mask.shape[1] - 1))
    row = int(np.clip(face[1], 0, mask.shape[0] - 1))
    chosen = labels[row, column]
    return labels == chosen if chosen else mask


def refine_edge(
    mask: Float[np.ndarray, "size size"], image: _Image
) -> Float[np.ndarray, "size size"]:
    """Let the mask's edge follow the picture (guided filter, He et al. 2010)."""
    size = image.shape[0]
    radius = max(2, round(size / 64))
    guide = image.astype(np.float32) / 255
    mask = mask.astype(np.float32)
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, window, borderType=cv2.BORDER_REFLECT)

    average = mean(guide)
    outer = guide[..., :, None] * guide[..., None, :]
    spread = mean(outer.reshape(size, size, 9)).reshape(size, size, 3, 3)
    spread = spread - average[..., :, None] * average[..., None, :]
    spread = spread + 1e-4 * np.eye(3, dtype=np.float32)
    level = mean(mask)
    joint = mean(guide * mask[..., None]) - average * level[..., None]
    slope = np.linalg.solve(spread, joint[..., None])[..., 0]
    offset = level - (slope * average).sum(-1)
    out = (mean(slope) * guide).sum(-1) + mean(offset)
    # Stretch so that sure person and sure background are exactly 1 and 0.
    return np.clip((out - 0.1) / 0.8, 0, 1)


class PlateMaker:
    """Collects background pixels over a video in bounded memory."""

    def __init__(self, frames: int, size: int) -> None:
        self._every = max(1, frames // _SAMPLES)
        self._pictures: list[np.ndarray] = []
        self._size = size

    def add(
        self, index: int, image: _Image, matte: UInt8[np.ndarray, "size size"]
    ) -> None:
        """Offer one frame; some of them are kept."""
        if index % self._every or len(self._pictures) >= 2 * _SAMPLES:
            return
        near = cv2.dilate(matte, np.ones((7, 7), np.uint8))
        kept = image.astype(np.int16)
        kept[near > 12] = -1
        self._pictures.append(kept)

    def finish(self) -> tuple[_Image, float]:
        """Return the plate and the part of it that was never seen (inpainted)."""
        stack = np.ma.masked_less(np.stack(self._pictures), 0)
        middle = np.ma.median(stack, axis=0)
        unseen = np.ma.getmaskarray(middle).any(-1)
        plate = np.ma.filled(middle, 0).astype(np.uint8)
        return fill_unseen(plate, unseen), float(unseen.mean())


def fill_unseen(plate: _Image, unseen: np.ndarray) -> _Image:
    """Fill holes smoothly from their rim, coarse to fine."""
    if not unseen.any():
        return plate
    if unseen.all():
        return np.full_like(plate, 128)
    size = plate.shape[0]
    known = (~unseen).astype(np.float32)
    filled = plate.astype(np.float32) * known[..., None]
    out = filled.copy()
    missing = unseen.copy()
    sigma = 2.0
    while missing.any():
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        blurred = cv2.GaussianBlur(filled, (0, 0), sigma)
        ready = missing & (weight > 0.02)
        out[ready] = (blurred / np.maximum(weight, 1e-6)[..., None])[ready]
        missing &= ~ready
        sigma = min(sigma * 1.6, size)
        if sigma >= size:
            out[missing] = plate[~unseen].mean(0)
            break
    soft = cv2.GaussianBlur(out, (0, 0), size / 64)
    out[unseen] = soft[unseen]
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)
