"""Rows that need no system: what a result must beat, made from what is given.

| row            | shows                                                              |
|----------------|--------------------------------------------------------------------|
| truth          | the wanted picture itself                                          |
| truth at 64 px | the same, shrunk to 64 px high and back: the blur bar              |
| nearest frame  | the training frame seen from the nearest direction, moved and      |
|                | turned so that the average face in it lies on the wanted one, and  |
|                | scaled as the two cameras' focal lengths and distances ask         |
| mean frame     | the mean of 24 training frames, each moved likewise                |

All are RGBA; frames carry their matte.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from talk3d.benchmark.task import Task
from talk3d.camera import project, yaw_pitch
from talk3d.face import load_face_shape

__all__ = ["CONTROLS", "Pictures", "control_rows", "similarity"]

Pictures = Callable[[int], UInt8[np.ndarray, "size size 4"]]
"""Straight RGBA of a shot."""

CONTROLS = ("truth", "truth at 64 px", "nearest frame", "mean frame")
"""Names of the rows."""

_BLUR_SIDE = 64
_MEAN_OF = 24


def control_rows(task: Task) -> dict[str, Pictures]:
    """Return the controls of a task by name."""
    frames = _Frames(task)
    rows = (task.truth, _shrunk(task), frames.nearest, frames.mean)
    return dict(zip(CONTROLS, rows, strict=True))


def similarity(
    source: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "2 3"]:
    """Return the similarity that best carries some points onto others.

    Least squares over shift, turn and scale (Umeyama 1991), as an affine matrix.
    """
    middle, goal = source.mean(0), target.mean(0)
    left, right = source - middle, target - goal
    power = float((left**2).sum())
    along = float((left * right).sum()) / power
    across = float((left[:, 0] * right[:, 1] - left[:, 1] * right[:, 0]).sum()) / power
    turn = np.array([[along, -across], [across, along]])
    return np.c_[turn, goal - turn @ middle]


def _shrunk(task: Task) -> Pictures:
    def picture(shot: int) -> np.ndarray:
        premultiplied = _premultiplied(task.truth(shot))
        small = cv2.resize(
            premultiplied, (_BLUR_SIDE, _BLUR_SIDE), interpolation=cv2.INTER_AREA
        )
        side = (task.size, task.size)
        return _straight(cv2.resize(small, side, interpolation=cv2.INTER_CUBIC))

    return picture


class _Frames:
    """Training frames moved onto wanted views."""

    def __init__(self, task: Task) -> None:
        self._task, self._subject = task, task.subject()
        self._cameras = task.cameras()
        self._labels = self._subject.arrays["camera"]
        self._face = load_face_shape().mean.astype(np.float32)
        yaw, pitch = yaw_pitch(torch.from_numpy(self._labels))
        train = np.array(task.train)
        self._train = train
        self._angles = np.degrees(np.stack([yaw.numpy(), pitch.numpy()], -1))[train]

    def nearest(self, shot: int) -> UInt8[np.ndarray, "size size 4"]:
        """Show the training frame seen from the nearest direction."""
        wanted = self._task.shots[shot]
        off = self._angles - np.array([wanted.yaw, wanted.pitch])
        frame = int(self._train[np.argmin((off**2).sum(1))])
        return _straight(self._moved(frame, shot))

    def mean(self, shot: int) -> UInt8[np.ndarray, "size size 4"]:
        """Show the mean of training frames spread over time."""
        places = np.linspace(0, len(self._train) - 1, _MEAN_OF).astype(int)
        moved = [self._moved(int(frame), shot) for frame in self._train[places]]
        return _straight(np.mean(moved, axis=0))

    def _moved(self, frame: int, shot: int) -> Float[np.ndarray, "size size 4"]:
        size = self._task.size
        own = self._placed(self._labels[frame]) * size - 0.5
        goal = self._placed(self._cameras[shot]) * size - 0.5
        scale = _magnification(self._cameras[shot]) / _magnification(
            self._labels[frame]
        )
        turn = similarity(own, goal)[:, :2]
        # The fitted scale would shrink with the width of a face in profile.
        turn *= scale / np.sqrt(np.linalg.det(turn))
        matrix = np.c_[turn, goal.mean(0) - turn @ own.mean(0)]
        picture = np.dstack([self._subject.frame(frame), self._subject.matte(frame)])
        return cv2.warpAffine(_premultiplied(picture), matrix, (size, size))

    def _placed(self, label: Float[np.ndarray, " 25"]) -> Float[np.ndarray, "478 2"]:
        place, _ = project(torch.from_numpy(self._face), torch.from_numpy(label))
        return place.numpy()


def _magnification(label: Float[np.ndarray, " 25"]) -> float:
    """Return picture widths per world unit at the head."""
    return float(label[16] / np.linalg.norm(label[[3, 7, 11]]))


def _premultiplied(
    picture: UInt8[np.ndarray, "size size 4"],
) -> Float[np.ndarray, "size size 4"]:
    codes = picture.astype(np.float32) / 255
    return np.dstack([codes[..., :3] * codes[..., 3:], codes[..., 3]])


def _straight(
    picture: Float[np.ndarray, "size size 4"],
) -> UInt8[np.ndarray, "size size 4"]:
    alpha = np.clip(picture[..., 3:], 0, 1)
    colour = picture[..., :3] / np.maximum(alpha, 1e-3)
    rgba = np.concatenate([np.clip(colour, 0, 1), alpha], -1)
    return (rgba * 255 + 0.5).astype(np.uint8)
