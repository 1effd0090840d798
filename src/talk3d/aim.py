"""Aim: lips that are seen, once drawn, where they were told.

Comes in: an avatar, the subject it was made from, the face networks. Goes out: the
avatar with another `LipSpace`, whose numbers make up for what drawing gets wrong.

An animator moves lips a little less far than it is told to, and rests them a little
open: it was taught by pictures, in which a lip's place is a small matter. So training
frames are drawn, once with the lips that they showed and once with those that their
sound tells, and read by the networks that read the recording. An affine map leads from
what was seen to what had to be said (ridge regression towards no change), and from now
on what is to be seen goes through it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from talk3d.animator.model import DrivingBatch
from talk3d.avatar import Avatar
from talk3d.dataset import Subject, tracked_camera
from talk3d.face import FaceNets, FaceTracker
from talk3d.lips import lip_shapes, seen_lips

__all__ = ["aimed"]

_LIMIT = 120
"""Frames that are drawn, twice."""
_LEAST = 25
"""Fewer are too few to learn from."""
_RIDGE = 0.02
"""Per frame; what is seen has a deviation of about one."""

Shapes = Float[np.ndarray, "frames 80"]
Numbers = Float[np.ndarray, "frames 8"]
Picture = UInt8[np.ndarray, "size size 3"]


def aimed(
    avatar: Avatar, subject: Subject, nets: FaceNets, done: Callable[[float], None]
) -> Avatar:
    """Return the avatar whose lips, once drawn, are seen where they were told.

    Args:
        avatar: as `Avatar.of` made it.
        subject: what it was made from.
        nets: read the lips of what is drawn.
        done: receives the finished part, 0 to 1.

    Returns:
        The avatar, unchanged if fewer than 25 faces are found.
    """
    frames = _chosen(subject)
    read = _Reader(subject, frames, nets)
    own = seen_lips(subject)[frames]
    times = (frames + 0.5) / subject.fps
    told = avatar.voice.lips(subject.audio(), times).numpy()
    shown = read(subject.frame(int(frame)) for frame in frames)
    done(0.2)
    # The recording was read in all its pixels, and drawings have fewer.
    finer = np.nanmean(own - shown, axis=0) if np.isfinite(shown).any() else 0.0
    given, seen = [], []
    for part, lips in ((0.6, own), (1.0, told)):
        numbers = avatar.space.encode(torch.from_numpy(lips))
        found = read(_drawn(avatar, numbers, frames)) + finer
        known = np.isfinite(found).all(axis=1)
        given.append(numbers.numpy()[known])
        seen.append(avatar.space.encode(torch.from_numpy(found[known])).numpy())
        done(part)
    if sum(map(len, seen)) < _LEAST:
        return avatar
    gain, shift = _towards(np.concatenate(seen), np.concatenate(given))
    return replace(avatar, space=avatar.space.aimed(gain, shift))


def _chosen(subject: Subject) -> Int[np.ndarray, " frames"]:
    """Return training frames that show a face, evenly spread."""
    train = subject.train
    index = np.flatnonzero(subject.arrays["valid"] > 0)
    index = index[(index >= train.start) & (index < train.stop)]
    places = np.linspace(0, len(index) - 1, min(len(index), _LIMIT))
    return index[places.round().astype(int)]


def _drawn(
    avatar: Avatar, lips: Float[torch.Tensor, "frames 8"], frames: np.ndarray
) -> Iterable[Picture]:
    """Draw frames of the recording with other lips."""
    index = torch.from_numpy(frames)
    driving = DrivingBatch(lips, *(signal[index] for signal in avatar.signals()))
    plate = avatar.plate.permute(1, 2, 0).numpy()
    for picture in avatar.render(driving, avatar.camera[index], avatar.neck[index]):
        alpha = picture[..., 3:] / 255
        mixed = picture[..., :3] * alpha + plate * (1 - alpha)
        yield (mixed + 0.5).astype(np.uint8)


class _Reader:
    """Reads the lips of pictures that stand for frames of a subject."""

    def __init__(self, subject: Subject, frames: np.ndarray, nets: FaceNets) -> None:
        self._tracker, self._size = FaceTracker(nets), subject.size
        self._expected = subject.arrays["landmarks"][frames]
        self._camera = tracked_camera(subject.arrays)[frames]

    def __call__(self, pictures: Iterable[Picture]) -> Shapes:
        """Return the lip shapes of all frames; NaN where no face is seen."""
        found = np.full(self._expected.shape, np.nan, np.float32)
        for place, picture in enumerate(pictures):
            self._tracker.expect(self._expected[place] * self._size)
            points = self._tracker.follow(np.ascontiguousarray(picture))
            if points is not None:
                found[place] = points / self._size
        known = np.flatnonzero(np.isfinite(found).all(axis=(1, 2)))
        shapes = np.full((len(found), 80), np.nan, np.float32)
        if len(known):
            shapes[known] = lip_shapes(found[known], self._camera[known])
        return shapes


def _towards(
    seen: Numbers, given: Numbers
) -> tuple[Float[np.ndarray, "8 8"], Float[np.ndarray, "8"]]:
    """Return the affine map from what was seen to what was given."""
    features = np.column_stack([seen, np.ones(len(seen))]).astype(np.float64)
    ridge = np.diag([_RIDGE * len(seen)] * seen.shape[1] + [0.0])
    off = features.T @ (given - seen)
    change = np.linalg.solve(features.T @ features + ridge, off)
    return np.eye(seen.shape[1]) + change[:-1], change[-1]
