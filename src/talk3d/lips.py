"""The shape of the lips, free of the head's motion: what sound decides.

Comes in: landmarks of a video and its cameras. Goes out: lip shapes in the head frame,
centred, in percent of the distance between the outer corners of the eyes, and a few
numbers that span them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.brows import BROW_NUMBERS, brow_signals
from talk3d.dataset import Subject, tracked_camera
from talk3d.face import INNER_LIPS, OUTER_LIPS, load_face_shape
from talk3d.speech.network import MOUTH, shipped_hearing
from talk3d.unposed import CANTHI, unposed_landmarks

__all__ = [
    "FACE_NUMBERS",
    "LIP_NUMBERS",
    "LIP_POINTS",
    "UPPER_NUMBERS",
    "LipSpace",
    "common_lips",
    "face_numbers",
    "face_signals",
    "lip_rim",
    "lip_shapes",
    "lip_space",
    "seen_lips",
    "upper_signals",
]

LIP_POINTS = OUTER_LIPS + INNER_LIPS
"""Indices of the 40 lip landmarks."""
_UPPER_RIM, _LOWER_RIM = (81, 82, 13, 312, 311), (178, 87, 14, 317, 402)
LIP_NUMBERS = 8
"""Numbers that span a person's lips."""
UPPER_NUMBERS = 2 + BROW_NUMBERS
"""Numbers that say what the upper face does: blink left and right, then the brows."""
FACE_NUMBERS = LIP_NUMBERS + UPPER_NUMBERS
"""Numbers that say what a face does: the lips', then the upper face's."""
_BLINK_GAIN = 4.0
_LEAST_SCALE = 1e-3
"""Of the first component's; less is rounding."""


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
    lips = unposed_landmarks(landmarks, camera)[:, list(LIP_POINTS)]
    lips = lips - lips.mean(1, keepdims=True)
    return lips.reshape(len(lips), -1).astype(np.float32)


@dataclass(frozen=True)
class LipSpace:
    """The numbers by which a person's lips are driven: their principal components."""

    mean: Float[Tensor, "80"]
    """The shape whose numbers are 0."""
    basis: Float[Tensor, "numbers 80"]
    """Rows of length one, by falling variance; others once aimed."""
    spread: Float[Tensor, " numbers"]
    """Deviation along each row."""

    @classmethod
    def of(
        cls, shapes: Float[np.ndarray, "frames 80"], *, numbers: int = LIP_NUMBERS
    ) -> "LipSpace":
        """Find the components of some frames.

        Components that few frames cannot show are left out: their numbers are 0.
        """
        mean = shapes.mean(0)
        _, scale, rows = np.linalg.svd(
            (shapes - mean).astype(np.float64), full_matrices=False
        )
        rows, scale = rows[:numbers], scale[:numbers]
        if len(rows) < numbers:
            short = numbers - len(rows)
            rows = np.concatenate([rows, np.zeros((short, rows.shape[1]))])
            scale = np.concatenate([scale, np.zeros(short)])
        rows = np.where((scale > _LEAST_SCALE * scale[0])[:, None], rows, 0.0)
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

    def aimed(
        self,
        gain: Float[np.ndarray, "numbers numbers"],
        shift: Float[np.ndarray, " numbers"],
    ) -> "LipSpace":
        """Return the space whose numbers are this one's times ``gain`` plus ``shift``.

        So an animator is told other numbers for the same lips, see ``talk3d.aim``.
        """
        onto = (self.basis.T / self.spread).double() @ torch.from_numpy(gain)
        move = torch.from_numpy(shift) @ torch.linalg.pinv(onto)
        mean, basis = self.mean - move, (onto * self.spread).T
        return LipSpace(mean.float(), basis.float(), self.spread)


def seen_lips(subject: Subject) -> Float[np.ndarray, "frames 80"]:
    """Return the lip shapes of all frames of a subject."""
    return lip_shapes(subject.arrays["landmarks"], tracked_camera(subject.arrays))


def lip_rim() -> Float[np.ndarray, "80"]:
    """Return what lip shapes are multiplied by to get the gap, in their unit."""
    rim = np.zeros((len(LIP_POINTS), 2), np.float32)
    for points, sign in ((_UPPER_RIM, 1), (_LOWER_RIM, -1)):
        rim[[LIP_POINTS.index(point) for point in points], 1] = sign / len(points)
    return rim.ravel()


@lru_cache(maxsize=1)
def common_lips() -> Float[np.ndarray, "mouth 80"]:
    """Return how the average face's lips move by the mouth that is heard.

    Rows: one deviation of each of ``Hearing.mouth``'s readings; numbers as in
    ``lip_shapes``.
    """
    shape, names = load_face_shape(), np.array(load_face_shape().expression_names)
    sides = [np.isin(names, (name, f"{name}_L", f"{name}_R")) for name in MOUTH]
    moved = np.stack([shape.expression[side].sum(0) for side in sides])
    lips = moved[:, list(LIP_POINTS), :2]
    lips = lips - lips.mean(1, keepdims=True)
    right, left = (shape.mean[index] for index in CANTHI)
    unit = 100 / float(np.linalg.norm(left - right))
    spread = shipped_hearing().mouth_spread.numpy()
    return spread[:, None] * unit * lips.reshape(len(MOUTH), -1)


def lip_space(subject: Subject) -> LipSpace:
    """Return the components of the lips in the training part of a subject."""
    train = subject.train
    valid = subject.arrays["valid"][train.start : train.stop] > 0
    return LipSpace.of(seen_lips(subject)[train.start : train.stop][valid])


def face_signals(subject: Subject) -> Float[Tensor, "frames 13"]:
    """Return what the face does in all frames: lips, lids, brows."""
    lips = lip_space(subject).encode(torch.from_numpy(seen_lips(subject)))
    return face_numbers(lips, upper_signals(subject.arrays))


def upper_signals(arrays: dict[str, np.ndarray]) -> Float[Tensor, "frames 5"]:
    """Return what the upper face does: blink left and right (0 to 1), brows."""
    brows = brow_signals(arrays["landmarks"], tracked_camera(arrays))
    blink = torch.from_numpy(np.asarray(arrays["blink"], np.float32))
    return torch.cat([blink, torch.from_numpy(brows)], dim=1)


def face_numbers(
    lips: Float[Tensor, "frames 8"], upper: Float[Tensor, "frames 5"]
) -> Float[Tensor, "frames 13"]:
    """Join the numbers of lips and upper face, all of deviation about 1."""
    blink, brows = upper.split((2, BROW_NUMBERS), dim=1)
    return torch.cat([lips, _BLINK_GAIN * blink, brows], dim=1)
