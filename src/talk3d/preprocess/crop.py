"""Choose the one square of a video and write the camera of every frame for it.

In: a solved ``HeadTrack`` in frame pixels. Out: a ``Crop`` and EG3D labels. The square
does not move: all motion of the head is in the labels (pose and off-centre principal
point). Its side shows what the default camera of the prior shows at the head.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from talk3d.camera import DEFAULT_FOCAL, DEFAULT_RADIUS, pack_label
from talk3d.preprocess.pose import HeadTrack

__all__ = [
    "Crop",
    "camera_labels",
    "choose_crop",
    "cut_crop",
    "head_rotation",
    "head_travel",
    "to_crop",
]

_SHRINKS = 0.67
"""Scale below which source pixels are averaged."""


@dataclass(frozen=True)
class Crop:
    """A square of the source frame."""

    x: float
    """Left edge, source pixels; may lie outside the frame."""
    y: float
    """Top edge, source pixels; may lie outside the frame."""
    side: float
    """Side, source pixels."""
    size: int
    """Pixels of the delivered picture."""

    @property
    def scale(self) -> float:
        """Delivered pixels per source pixel."""
        return self.size / self.side

    def outside(self, width: int, height: int) -> float:
        """Return which part of the square lies outside the frame (0..1)."""
        wide = min(self.x + self.side, width) - max(self.x, 0.0)
        high = min(self.y + self.side, height) - max(self.y, 0.0)
        return 1.0 - max(wide, 0.0) * max(high, 0.0) / self.side**2


def choose_crop(track: HeadTrack, size: int) -> Crop:
    """Place the square so that the mean head is where the default camera shows it."""
    origin = track.translation
    seen = origin[:, :2] / origin[:, 2:] * track.focal + np.array(track.centre)
    side = track.focal * DEFAULT_RADIUS / DEFAULT_FOCAL / float(origin[:, 2].mean())
    middle = seen.mean(0)
    return Crop(float(middle[0] - side / 2), float(middle[1] - side / 2), side, size)


def camera_labels(track: HeadTrack, crop: Crop) -> Float[np.ndarray, "frames 25"]:
    """Return the EG3D label of every frame: camera in the head frame."""
    pose = np.zeros((len(track.rotation), 4, 4))
    pose[:, :3, :3] = track.rotation.transpose(0, 2, 1)
    pose[:, :3, 3] = -np.einsum("fji,fj->fi", track.rotation, track.translation)
    pose[:, 3, 3] = 1.0
    focal = track.focal / crop.side
    x = (track.centre[0] - crop.x) / crop.side
    y = (track.centre[1] - crop.y) / crop.side
    intrinsics = torch.tensor([[focal, 0.0, x], [0.0, focal, y], [0.0, 0.0, 1.0]])
    cam2world = torch.from_numpy(pose).float()
    return pack_label(cam2world, intrinsics.expand(len(pose), 3, 3)).numpy()


def cut_crop(
    image: UInt8[np.ndarray, "height width 3"], crop: Crop
) -> UInt8[np.ndarray, "size size 3"]:
    """Resample the square; beyond the frame its edge pixels are repeated.

    A square that shrinks by a third or more is sampled at least once a source pixel and
    averaged; with less shrinking that would cost detail, and hardly any folds.
    """
    over = math.ceil(crop.side / crop.size) if crop.scale < _SHRINKS else 1
    count = crop.size * over
    step = crop.side / count
    matrix = np.array(
        [[step, 0, crop.x + step / 2 - 0.5], [0, step, crop.y + step / 2 - 0.5]]
    )
    cut = cv2.warpAffine(
        image,
        matrix,
        (count, count),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if over == 1:
        return cut
    return cv2.resize(cut, (crop.size, crop.size), interpolation=cv2.INTER_AREA)


def to_crop(
    points: Float[np.ndarray, "*frames 478 2"], crop: Crop
) -> Float[np.ndarray, "*frames 478 2"]:
    """Express frame pixels in crop coordinates (0..1)."""
    return ((points - np.array([crop.x, crop.y])) / crop.side).astype(np.float32)


def head_rotation(track: HeadTrack) -> Float[np.ndarray, "frames 3"]:
    """Return yaw, pitch, roll of the head against its mean, radians.

    +yaw turns the face to the subject's left, +pitch up, +roll tilts the head toward
    the subject's left shoulder.
    """
    mean = Rotation.from_matrix(track.rotation).mean()
    turn = mean.inv() * Rotation.from_matrix(track.rotation)
    yaw, down, roll = turn.as_euler("YXZ").T
    return np.stack([yaw, -down, -roll], -1).astype(np.float32)


def head_travel(track: HeadTrack, crop: Crop) -> Float[np.ndarray, "frames 3"]:
    """Return where the head is in the crop: column, row, log scale, about the mean."""
    depth = track.translation[:, 2:]
    place = track.translation[:, :2] / depth * (track.focal / crop.side)
    travel = np.concatenate([place, -np.log(depth)], -1)
    return (travel - travel.mean(0)).astype(np.float32)
