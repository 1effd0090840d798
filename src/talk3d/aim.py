"""Aim: lips and lids that are seen, once drawn, where they were told.

Comes in: an avatar, the subject it was made from, the face networks. Goes out: the
avatar with another `LipSpace`, whose numbers make up for what drawing gets wrong, and
with other blinks.

An animator moves lips a little less far than it is told to, and rests them a little
open; lids do not quite shut. It was taught by pictures, in which the place of a lip is
a small matter. So training frames are drawn, once with the lips that they showed and
once with those that their sound tells, and read by the networks that read the
recording. An affine map leads from what was seen to what had to be said (ridge
regression towards no change), and from now on what is to be seen goes through it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from talk3d.animator.model import DrivingBatch
from talk3d.avatar import Avatar, composite
from talk3d.dataset import Subject, tracked_camera
from talk3d.face import FaceNets, FaceTracker, eye_openness
from talk3d.lips import lip_shapes, seen_lips

__all__ = ["aimed"]

_LIMIT = 120
"""Frames that are drawn, twice; one in ten is among those with the most shut eyes."""
_LEAST = 12
"""Fewer, in either drawing, are too few to learn from."""
_RIDGE = 0.02
"""Per frame; what is seen has a deviation of about one."""
_TOGETHER = -0.5
"""Least correlation of blinks with what is seen of the eyes."""

Points = Float[np.ndarray, "frames 478 2"]
PerFrame = Float[np.ndarray, " frames"]
Numbers = Float[np.ndarray, "frames numbers"]
Picture = UInt8[np.ndarray, "size size 3"]


def aimed(
    avatar: Avatar, subject: Subject, nets: FaceNets, done: Callable[[float], None]
) -> Avatar:
    """Return the avatar whose lips and lids are seen where they were told.

    Args:
        avatar: as `Avatar.of` made it.
        subject: what it was made from.
        nets: read what is drawn.
        done: receives the finished part, 0 to 1.

    Returns:
        The avatar, unchanged if fewer than 12 faces are found.
    """
    frames = _chosen(subject)
    look = _Look(subject, frames, nets)
    own = seen_lips(subject)[frames]
    rotation = avatar.rotation[torch.from_numpy(frames)]
    told = avatar.told(avatar.voice, subject.audio(), frames, rotation).numpy()
    shown = look.at(subject.frame(int(frame)) for frame in frames)
    done(0.2)
    numbers, drawn = [], []
    for part, lips in ((0.6, own), (1.0, told)):
        numbers.append(avatar.space.encode(torch.from_numpy(lips)))
        drawn.append(look.at(_drawn(avatar, numbers[-1], frames)))
        done(part)
    known = [np.isfinite(shown + points).all(axis=(1, 2)) for points in drawn]
    if min(row.sum() for row in known) < _LEAST:
        return avatar
    # The recording was read in all its pixels, and drawings have fewer.
    finer = own - look.lips(shown)
    given, seen = [], []
    for row, said, points in zip(known, numbers, drawn, strict=True):
        found = look.lips(points)[row] + finer[row].mean(axis=0)
        given.append(said.numpy()[row])
        seen.append(avatar.space.encode(torch.from_numpy(found)).numpy())
    gain, shift = _towards(np.concatenate(seen), np.concatenate(given))
    blink = np.concatenate([avatar.eye[frames, :2].numpy()[row] for row in known])
    recorded = np.concatenate([eye_openness(shown[row]) for row in known])
    found = [eye_openness(p[row]) for p, row in zip(drawn, known, strict=True)]
    lids = _lids(blink, recorded, np.concatenate(found))
    blinks = avatar.eye[:, :2] * lids[:, 0] + lids[:, 1]
    return replace(
        avatar,
        space=avatar.space.aimed(gain, shift),
        eye=torch.cat([blinks, avatar.eye[:, 2:]], dim=1),
    )


def _chosen(subject: Subject) -> Int[np.ndarray, " frames"]:
    """Return training frames that show a face: evenly spread, and with shut eyes."""
    train = subject.train
    index = np.flatnonzero(subject.arrays["valid"] > 0)
    index = index[(index >= train.start) & (index < train.stop)]
    places = np.linspace(0, len(index) - 1, min(len(index), _LIMIT - _LIMIT // 10))
    shut = subject.arrays["blink"][index].mean(axis=1).argsort()[-(_LIMIT // 10) :]
    return index[np.union1d(places.round().astype(int), shut)]


def _drawn(
    avatar: Avatar, lips: Float[Tensor, "frames 8"], frames: np.ndarray
) -> Iterable[Picture]:
    """Draw frames of the recording with other lips."""
    index = torch.from_numpy(frames)
    driving = DrivingBatch(lips, *(signal[index] for signal in avatar.signals()))
    plate = avatar.plate.permute(1, 2, 0).numpy().astype(np.float32) / 255
    for picture in avatar.render(driving, avatar.camera[index], avatar.neck[index]):
        yield composite(picture, plate)


class _Look:
    """Finds the face in pictures that stand for frames of a subject."""

    def __init__(self, subject: Subject, frames: np.ndarray, nets: FaceNets) -> None:
        self._tracker, self._size = FaceTracker(nets), subject.size
        self._expected = subject.arrays["landmarks"][frames]
        self._camera = tracked_camera(subject.arrays)[frames]

    def at(self, pictures: Iterable[Picture]) -> Points:
        """Return the landmarks in all pictures, 0 to 1; NaN where no face is seen."""
        found = np.full(self._expected.shape, np.nan, np.float32)
        for place, picture in enumerate(pictures):
            self._tracker.expect(self._expected[place] * self._size)
            points = self._tracker.follow(np.ascontiguousarray(picture))
            if points is not None:
                found[place] = points / self._size
        return found

    def lips(self, points: Points) -> Float[np.ndarray, "frames 80"]:
        """Return the lip shapes of landmarks; NaN where no face was seen."""
        known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
        shapes = np.full((len(points), 80), np.nan, np.float32)
        shapes[known] = lip_shapes(points[known], self._camera[known])
        return shapes


def _lids(blink: Numbers, recorded: Numbers, drawn: Numbers) -> Float[Tensor, "eyes 2"]:
    """Return by what blinks are to be multiplied, and what added, of each eye.

    Args:
        blink: what was given.
        recorded: how far the eyes of the recording are seen open.
        drawn: the same of what was drawn.
    """
    eyes = zip(blink.T, recorded.T, drawn.T, strict=True)
    return torch.tensor([_lid(*eye) for eye in eyes])


def _lid(given: PerFrame, wanted: PerFrame, found: PerFrame) -> tuple[float, float]:
    """Return by what the blinks of an eye are to be multiplied, and what added."""
    if not min(given.std(), wanted.std(), found.std()) > 0:
        return 1.0, 0.0
    if max(np.corrcoef(given, seen)[0, 1] for seen in (wanted, found)) > _TOGETHER:
        return 1.0, 0.0
    slope, level = np.polyfit(given, wanted, 1)
    middle, spread = given.mean(), given.std()
    seen = ((found - level) / slope - middle) / spread
    gain, shift = _towards(seen[:, None], (given[:, None] - middle) / spread)
    factor = float(gain[0, 0])
    return factor, float(middle * (1 - factor) + spread * shift[0])


def _towards(
    seen: Numbers, given: Numbers
) -> tuple[Float[np.ndarray, "numbers numbers"], Float[np.ndarray, " numbers"]]:
    """Return the affine map from what was seen to what was given, both about one."""
    features = np.column_stack([seen, np.ones(len(seen))]).astype(np.float64)
    ridge = np.diag([_RIDGE * len(seen)] * seen.shape[1] + [0.0])
    off = features.T @ (given - seen)
    change = np.linalg.solve(features.T @ features + ridge, off)
    return np.eye(seen.shape[1]) + change[:-1], change[-1]
