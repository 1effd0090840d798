"""Training frames of one subject in memory, as tensors.

Comes in: a subject folder. Goes out: batches of pictures with their cameras, driving
signals and region weights. At most ``LIMIT`` frames are held, spread evenly, so
memory does not grow with the length of the video.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from talk3d.dataset import Subject
from talk3d.face import LEFT_EYE, RIGHT_EYE
from talk3d.face_depth import FaceDepth
from talk3d.lips import face_signals, upper_signals
from talk3d.windows import Windows

__all__ = ["LIMIT", "FrameBatch", "FrameStore", "driving_signals"]

LIMIT = 2000
_MOUTH = (61, 291, 0, 17, 37, 267, 84, 314)
_ANCHORS = (1, 33, 263)
_WIDEN = 1.4
_LANDMARK_GAIN = 8.0
_RARITY = (2.0, 12.0)


@dataclass(frozen=True)
class FrameBatch:
    """Some frames of a subject."""

    picture: Float[Tensor, "batch 3 size size"]
    """The crop, sRGB, -1 to 1."""
    matte: Float[Tensor, "batch 1 size size"]
    """Coverage of the person, 0 to 1."""
    mouth: Float[Tensor, "batch 1 size size"]
    """1 in the box around the lips."""
    eyes: Float[Tensor, "batch 1 size size"]
    """1 in the boxes around the eyes."""
    depth: Float[Tensor, "batch 1 size size"]
    """How far the face's skin is, see ``talk3d.face_depth``; 0 where not known."""
    camera: Float[Tensor, "batch 25"]
    """EG3D labels."""
    face: Float[Tensor, "batch 13"]
    """What lips, lids and brows do, see ``talk3d.lips.face_signals``."""
    gaze: Float[Tensor, "batch 4"]
    """Left yaw, pitch, right yaw, pitch in radians."""
    neck: Float[Tensor, "batch 4 4"]
    """Motion of the head against the torso, see ``talk3d.neck``."""
    frame: Int[Tensor, " batch"]
    """Index in the subject."""

    def premultiplied(self) -> Float[Tensor, "batch 4 size size"]:
        """Return colour times matte, and the matte, all from -1 to 1."""
        colour = (self.picture + 1) / 2 * self.matte
        return torch.cat([colour, self.matte], dim=1) * 2 - 1

    def to(self, device: torch.device) -> "FrameBatch":
        """Return the frames on a device; windows are laid before, on the CPU."""
        return FrameBatch(**{k: v.to(device) for k, v in vars(self).items()})

    def windows(
        self, times: int, cells: int, *, chance: torch.Generator
    ) -> "FrameBatch":
        """Return a window of each frame, see ``Windows.draw``."""
        features = torch.cat([self.eyes, self.mouth], dim=1) > 0
        windows = Windows.draw(features, times, cells, chance=chance)
        return replace(
            self,
            picture=windows.cut(self.picture),
            matte=windows.cut(self.matte),
            mouth=windows.cut(self.mouth),
            eyes=windows.cut(self.eyes),
            depth=windows.cut(self.depth),
            camera=windows.camera(self.camera),
        )


class FrameStore:
    """Frames of one part of a subject, decoded once."""

    def __init__(self, subject: Subject, frames: range) -> None:
        """Read up to ``LIMIT`` valid frames of a range.

        Raises:
            ValueError: if no frame of the range shows a face.
        """
        valid = subject.arrays["valid"] > 0
        usable = [index for index in frames if valid[index]]
        if not usable:
            message = f"no usable frame in {subject.path}: record the face again"
            raise ValueError(message)
        kept = np.linspace(0, len(usable) - 1, min(len(usable), LIMIT))
        self.frames = [usable[place] for place in kept.round().astype(int)]
        self.size = subject.size
        self._subject = subject
        self._face = face_signals(subject)
        self._depth = FaceDepth(subject)
        self._rarity = _rarity(self._face[self.frames])
        pictures = [subject.frame(index) for index in self.frames]
        self._pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        mattes = [subject.matte(index) for index in self.frames]
        self._mattes = torch.from_numpy(np.stack(mattes))[:, None]

    def __len__(self) -> int:
        """Return the number of frames held."""
        return len(self.frames)

    def batch(self, rows: list[int]) -> FrameBatch:
        """Return frames by their row in the store."""
        index = [self.frames[row] for row in rows]
        arrays = self._subject.arrays
        marks = torch.from_numpy(arrays["landmarks"][index])
        eyes = _box(marks[:, list(LEFT_EYE)], self.size)
        depths = [self._depth.map(frame, self.size) for frame in index]
        return FrameBatch(
            picture=self._pictures[rows].float() / 127.5 - 1,
            matte=self._mattes[rows].float() / 255,
            mouth=_box(marks[:, list(_MOUTH)], self.size),
            eyes=torch.maximum(eyes, _box(marks[:, list(RIGHT_EYE)], self.size)),
            depth=torch.from_numpy(np.stack(depths))[:, None],
            camera=torch.from_numpy(arrays["camera"][index]),
            face=self._face[index],
            gaze=torch.from_numpy(arrays["gaze"][index]),
            neck=torch.from_numpy(arrays["neck"][index]),
            frame=torch.tensor(index),
        )

    def spread(self, count: int) -> list[int]:
        """Return rows of the store, evenly spread over time."""
        return torch.linspace(0, len(self) - 1, min(count, len(self))).long().tolist()

    def draw(self, count: int, *, generator: torch.Generator) -> FrameBatch:
        """Draw frames at random without repetition, rare faces more often."""
        count = min(count, len(self))
        rows = torch.multinomial(self._rarity, count, generator=generator)
        return self.batch(rows.tolist())

    def expressions(self) -> tuple[Float[Tensor, "n 13"], Float[Tensor, "n 53"]]:
        """Return what the faces of all frames do, and the weights tracked for it."""
        weights = torch.from_numpy(self._subject.arrays["expression"][self.frames])
        return self._face[self.frames], weights.float()

    def views(self) -> tuple[Float[Tensor, "views 25"], Float[Tensor, "views 4 4"]]:
        """Return cameras and neck motions that span from where the person is seen.

        Those at even quantiles of yaw and of pitch; one in fifty of either side is left
        out, as what so few frames show is hardly learned from them.
        """
        arrays = self._subject.arrays
        camera = torch.from_numpy(arrays["camera"][self.frames])
        neck = torch.from_numpy(arrays["neck"][self.frames])
        x, y, z = camera[:, :16].unflatten(1, (4, 4))[:, :3, 3].unbind(1)
        rows = []
        for angle, count in ((torch.atan2(x, z), 5), (torch.atan2(y, z), 3)):
            ranks = torch.linspace(0.02, 0.98, count) * (len(angle) - 1)
            rows += angle.argsort()[ranks.round().long()].tolist()
        return camera[rows], neck[rows]


def driving_signals(
    arrays: dict[str, np.ndarray],
) -> tuple[
    Float[Tensor, "frames 9"], Float[Tensor, "frames 3"], Float[Tensor, "frames 6"]
]:
    """Return the eye, rotation and landmark signals of all frames.

    Eye: blinks, brows and gaze; rotation: radians; landmark: nose tip and outer
    eye corners in the crop relative to their mean, times 8, so that typical motion
    is of order one.
    """
    gaze, rotation = (torch.from_numpy(arrays[k]).float() for k in ("gaze", "rotation"))
    marks = torch.from_numpy(arrays["landmarks"][:, list(_ANCHORS)]).float().flatten(1)
    centred = _LANDMARK_GAIN * (marks - marks.mean(0, keepdim=True))
    return torch.cat([upper_signals(arrays), gaze], dim=1), rotation, centred


def _rarity(face: Float[Tensor, "n 13"]) -> Float[Tensor, " n"]:
    """Return how often frames are drawn, relative to one another.

    The weight is the largest squared distance of a signal from its mean, in
    deviations, within bounds: shut eyes are one frame in forty, and seen as often as
    others they would be learned half open.
    """
    spread = face.std(0, correction=0).clamp(min=1e-3)
    distance = ((face - face.mean(0)) / spread).square().amax(1)
    return distance.clamp(*_RARITY)


def _box(
    marks: Float[Tensor, "batch points 2"], size: int
) -> Float[Tensor, "batch 1 size size"]:
    """Return 1 inside the widened box around each set of points."""
    low, high = marks.amin(1), marks.amax(1)
    middle, half = (low + high) / 2, (high - low) / 2 * _WIDEN
    centres = (torch.arange(size) + 0.5) / size
    x = (centres - middle[:, :1]).abs() <= half[:, :1]
    y = (centres - middle[:, 1:]).abs() <= half[:, 1:]
    return (y[:, :, None] & x[:, None, :]).float()[:, None]
