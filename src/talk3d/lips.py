"""The shape of the lips, free of the head's motion: what sound decides.

Comes in: landmarks of a video and its cameras. Goes out: lip shapes in the head frame,
and a few numbers that span them. A landmark is carried back along its ray to the depth
that the mean face has there; the lips are then centred, in percent of the distance
between the outer corners of the eyes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.camera import image_rays
from talk3d.dataset import Subject
from talk3d.face import INNER_LIPS, OUTER_LIPS, load_face_shape

__all__ = [
    "FACE_NUMBERS",
    "LIP_NUMBERS",
    "LIP_POINTS",
    "LipSpace",
    "face_numbers",
    "face_signals",
    "lip_shapes",
    "lip_space",
    "seen_lips",
]

LIP_POINTS = OUTER_LIPS + INNER_LIPS
"""Indices of the 40 lip landmarks."""
LIP_NUMBERS = 8
"""Numbers that span a person's lips."""
FACE_NUMBERS = LIP_NUMBERS + 2
"""Numbers that say what a face does: the lips', then the blinks of both eyes."""
_BLINK_GAIN = 4.0
_CANTHI = (33, 263)
_PERCENT = 100.0


def lip_shapes(
    landmarks: Float[np.ndarray, "frames 478 2"],
    camera: Float[np.ndarray, "frames 25"],
) -> Float[np.ndarray, "frames 80"]:
    """Return the lips of every frame: 40 points (x, y), head frame.

    Args:
        landmarks: crop coordinates, 0 to 1.
        camera: EG3D labels in the head frame.

    Returns:
        x to the subject's left, y up, relative to the mean of the points, percent of
        the distance of the outer eye corners (median of the video).
    """
    depth = torch.from_numpy(load_face_shape().mean[:, 2]).double()
    marks = torch.from_numpy(np.asarray(landmarks)).double()
    origins, directions = image_rays(torch.from_numpy(camera).double(), marks)
    along = (depth - origins[..., 2]) / directions[..., 2]
    flat = (origins + along[..., None] * directions)[..., :2].numpy()
    canthi = flat[:, _CANTHI[0]] - flat[:, _CANTHI[1]]
    unit = np.median(np.linalg.norm(canthi, axis=-1)) / _PERCENT
    lips = flat[:, list(LIP_POINTS)]
    lips = (lips - lips.mean(1, keepdims=True)) / unit
    return lips.reshape(len(lips), -1).astype(np.float32)


@dataclass(frozen=True)
class LipSpace:
    """Principal components of a person's lips."""

    mean: Float[Tensor, "80"]
    """Mean shape."""
    basis: Float[Tensor, "numbers 80"]
    """Rows of length one, by falling variance."""
    spread: Float[Tensor, " numbers"]
    """Deviation along each row."""

    @classmethod
    def of(
        cls, shapes: Float[np.ndarray, "frames 80"], *, numbers: int = LIP_NUMBERS
    ) -> "LipSpace":
        """Find the components of some frames."""
        mean = shapes.mean(0)
        _, scale, rows = np.linalg.svd(
            (shapes - mean).astype(np.float64), full_matrices=False
        )
        rows, scale = rows[:numbers], scale[:numbers]
        if len(rows) < numbers:
            short = numbers - len(rows)
            rows = np.concatenate([rows, np.zeros((short, rows.shape[1]))])
            scale = np.concatenate([scale, np.zeros(short)])
        # A component's sign is chance; let its largest part be positive.
        largest = np.abs(rows).argmax(1)
        sign = np.where(rows[np.arange(len(rows)), largest] < 0, -1.0, 1.0)
        spread = np.maximum(scale / np.sqrt(max(1, len(shapes))), 1e-3)
        parts = (mean, rows * sign[:, None], spread)
        return cls(*(torch.from_numpy(np.asarray(p, np.float32)) for p in parts))

    def encode(
        self, shapes: Float[Tensor, "frames 80"]
    ) -> Float[Tensor, "frames numbers"]:
        """Return the numbers of lip shapes, each of deviation about 1."""
        return (shapes - self.mean) @ self.basis.T / self.spread

    def decode(
        self, numbers: Float[Tensor, "frames numbers"]
    ) -> Float[Tensor, "frames 80"]:
        """Return the shapes of numbers."""
        return self.mean + (numbers * self.spread) @ self.basis


def seen_lips(subject: Subject) -> Float[np.ndarray, "frames 80"]:
    """Return the lip shapes of all frames of a subject."""
    return lip_shapes(subject.arrays["landmarks"], subject.arrays["camera"])


def lip_space(subject: Subject) -> LipSpace:
    """Return the components of the lips in the training part of a subject."""
    train = subject.train
    valid = subject.arrays["valid"][train.start : train.stop] > 0
    return LipSpace.of(seen_lips(subject)[train.start : train.stop][valid])


def face_signals(subject: Subject) -> Float[Tensor, "frames 10"]:
    """Return what the face does in all frames: lips, blink left and right."""
    lips = lip_space(subject).encode(torch.from_numpy(seen_lips(subject)))
    return face_numbers(lips, torch.from_numpy(subject.arrays["blink"]).float())


def face_numbers(
    lips: Float[Tensor, "frames 8"], blink: Float[Tensor, "frames 2"]
) -> Float[Tensor, "frames 10"]:
    """Join lips and blinks (0 open, 1 shut), all of deviation about 1."""
    return torch.cat([lips, _BLINK_GAIN * blink], dim=1)
