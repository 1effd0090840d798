"""Make the control rows: what a result must beat, made from the truth alone.

| row                   | frame k shows                                                |
|-----------------------|--------------------------------------------------------------|
| truth                 | the truth itself: the best any row can reach                 |
| truth re-encoded      | the truth through H.264, crf 18: what delivery costs         |
| truth at 64 px        | the truth shrunk to 64 px high and back: the blur bar        |
| mean frame            | the mean of all training frames                              |
| nearest frame (pose)  | the training frame whose head stands and blinks most alike   |
| nearest frame (sound) | of the tenth of training frames nearest in pose, the one     |
|                       | whose sound in the 0.2 s around is most alike                |
| truth, mouth frozen   | the truth, its mouth replaced by the mean training mouth     |
| result, mouth frozen  | the result, its mouth replaced by its own mean mouth         |

*Pose* distance: root mean square distance, in crop coordinates, of the landmarks of
nose, brows and lids: place, size, turn and blink at once, without the mouth. *Sound*
distance: mean square difference of log-mel features. *Mean mouth*: frames are moved
onto a common head by the similarity that best fits nose and eye corners, averaged,
moved back, and laid over the mouth box of the widest opening with a soft rim.

"Rolled audio" and "lips at rest" need renders by the avatar: they are extra results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import gaussian_filter

from talk3d.audio import MelConfig, audio_windows, log_mel
from talk3d.evaluate.material import Shots, Truth, decode, encode
from talk3d.evaluate.regions import LIPS_OUTER, box_around
from talk3d.face import LEFT_EYE, RIGHT_EYE

__all__ = [
    "Row",
    "frozen_mouth",
    "mean_frame",
    "nearest_by_pose",
    "nearest_by_sound",
    "reencode",
    "shrunk",
    "training_rows",
    "truth_rows",
]

Frame = UInt8[np.ndarray, "height width 3"]
Track = Float[np.ndarray, "frames 478 2"]
Row = tuple[str, Shots]

BLUR_SIDE = 64
"""Height of the blur bar in pixels."""

_CRF = 18
_MANY = 400
_POSE_SHARE = 0.1
_SOUND_REACH = 0.1
_STEADY = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327)
_BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)


def truth_rows(truth: Truth, scratch: Path) -> list[Row]:
    """Return the rows that need the truth's pictures only."""
    return [
        ("truth", truth.frame),
        ("truth re-encoded", reencode(truth, scratch)),
        (f"truth at {BLUR_SIDE} px", shrunk(truth)),
    ]


def training_rows(truth: Truth) -> list[Row]:
    """Return the rows made from training frames; none when the reference is a video."""
    if truth.subject is None:
        return []
    rows = [("mean frame", mean_frame(truth))]
    subject, frames = truth.subject, training_frames(truth)
    picks = {"pose": nearest_by_pose(truth, frames)}
    if truth.wave is not None:
        picks["sound"] = nearest_by_sound(truth, frames)
    for name, pick in picks.items():
        rows.append((f"nearest frame ({name})", _looked_up(subject.frame, pick)))
    return rows


def training_frames(truth: Truth) -> Int[np.ndarray, " training"]:
    """Return the numbers of the training frames that show a face."""
    assert truth.subject is not None
    numbers = np.asarray(truth.subject.train)
    seen = numbers[truth.subject.arrays["valid"][numbers] > 0]
    if len(seen) == 0:
        raise ValueError(
            f"The subject {truth.name} has no training frame with a face; run talk3d "
            "preprocess again."
        )
    return seen


def reencode(truth: Truth, scratch: Path) -> Shots:
    """Write the truth as H.264 (crf 18, 4:2:0) and read it back."""
    path = scratch / "reencoded.mp4"
    encode(path, truth.frame, count=truth.count, fps=truth.fps, crf=_CRF)
    clip = decode(path, scratch / "reencoded.rgb", fps=truth.fps)

    def frame(k: int) -> np.ndarray:
        whole = truth.frame(k).copy()
        part = clip.frame(min(k, clip.shape[0] - 1))
        whole[: part.shape[0], : part.shape[1]] = part
        return whole

    return frame


def shrunk(truth: Truth) -> Shots:
    """Shrink the truth to 64 px (averaging) and enlarge it again (cubic)."""
    width, height = truth.size
    small = (max(round(width * BLUR_SIDE / height), 1), BLUR_SIDE)

    def frame(k: int) -> np.ndarray:
        tiny = cv2.resize(truth.frame(k), small, interpolation=cv2.INTER_AREA)
        return cv2.resize(tiny, truth.size, interpolation=cv2.INTER_CUBIC)

    return frame


def mean_frame(truth: Truth) -> Shots:
    """Average the training frames (of at most 400, evenly spaced)."""
    assert truth.subject is not None
    numbers = _thinned(training_frames(truth), _MANY)
    total = np.zeros((truth.size[1], truth.size[0], 3))
    for number in numbers:
        total += truth.subject.frame(int(number))
    mean = (total / len(numbers)).round().astype(np.uint8)
    return lambda _: mean


def nearest_by_pose(
    truth: Truth, frames: Int[np.ndarray, " training"]
) -> Int[np.ndarray, " judged"]:
    """Pick for each judged moment the training frame nearest in pose and blink."""
    return frames[[apart.argmin() for apart in _pose_distances(truth, frames)]]


def nearest_by_sound(
    truth: Truth, frames: Int[np.ndarray, " training"]
) -> Int[np.ndarray, " judged"]:
    """Pick among the tenth nearest in pose the frame nearest in sound."""
    assert truth.subject is not None
    count = max(round(_POSE_SHARE * len(frames)), 1)
    mel = log_mel(torch.from_numpy(truth.subject.audio()), MelConfig(mels=20))
    numbers = np.concatenate(
        [frames, np.arange(truth.first, truth.first + truth.count)]
    )
    times = torch.from_numpy((numbers + 0.5) / truth.fps).float()
    cut = audio_windows(mel, times, before=_SOUND_REACH, after=_SOUND_REACH)
    heard = cut.flatten(1).numpy()
    train, judged = heard[: len(frames)], heard[len(frames) :]
    picks = []
    for own, pose in zip(judged, _pose_distances(truth, frames), strict=True):
        close = np.argsort(pose)[:count]
        picks.append(close[((train[close] - own) ** 2).mean(axis=1).argmin()])
    return frames[picks]


def frozen_mouth(
    *,
    shots: Shots,
    track: Track,
    source: Shots,
    source_track: Track,
) -> Shots:
    """Replace the mouth of some frames by the mean mouth of others.

    Args:
        shots: The frames whose mouth is replaced.
        track: Their landmarks in pixels; a frame with NaN is left as it is.
        source: The frames that give the mouth.
        source_track: Their landmarks in pixels; frames with NaN are not used.

    Raises:
        ValueError: No source frame shows a face.
    """
    known = np.flatnonzero(np.isfinite(source_track).all(axis=(1, 2)))
    if len(known) == 0:
        raise ValueError("No frame shows a face, so there is no mouth to freeze.")
    steady = list(_STEADY)
    template = source_track[known].mean(axis=0)[steady]
    mean, lips = _mean_head(source, source_track, known, template)
    height, width = mean.shape[:2]
    box = box_around(lips / [width, height], (width, height))
    soft = np.zeros((height, width), np.float32)
    box.cut(soft)[:] = 1.0
    soft = gaussian_filter(soft, (box.bottom - box.top) / 12)

    def frame(k: int) -> np.ndarray:
        picture = shots(k)
        if not np.isfinite(track[k]).all():
            return picture
        back = _similarity(template, track[k][steady])
        size = (picture.shape[1], picture.shape[0])
        patch = _moved(mean, back, size)
        weight = _moved(soft, back, size)[..., None]
        return (patch * weight + picture * (1 - weight)).round().astype(np.uint8)

    return frame


def _mean_head(
    source: Shots, track: np.ndarray, known: np.ndarray, template: np.ndarray
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "points 2"]]:
    """Average the frames on a common head; return also all its lip points there."""
    total, lips = None, []
    numbers = _thinned(known, _MANY)
    for number in numbers:
        picture = source(int(number)).astype(np.float32)
        onto = _similarity(track[number][list(_STEADY)], template)
        moved = _moved(picture, onto, (picture.shape[1], picture.shape[0]))
        total = moved if total is None else total + moved
        points = track[number][list(LIPS_OUTER)]
        lips.append(points @ onto[:, :2].T + onto[:, 2])
    assert total is not None
    return total / len(numbers), np.concatenate(lips)


def _similarity(
    start: Float[np.ndarray, "points 2"], stop: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "2 3"]:
    """Fit the turn, scale and move of some points onto others (least squares)."""
    first, second = start - start.mean(axis=0), stop - stop.mean(axis=0)
    power = (first**2).sum()
    cosine = (first * second).sum() / power
    sine = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / power
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, stop.mean(axis=0) - turn @ start.mean(axis=0)])


def _moved(
    picture: np.ndarray, onto: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> np.ndarray:
    """Resample a picture by an affine map of positions counted from pixel edges."""
    centres = onto.copy()
    centres[:, 2] += onto[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return cv2.warpAffine(picture, centres, size, borderMode=cv2.BORDER_REPLICATE)


def _pose_distances(
    truth: Truth, frames: np.ndarray
) -> Iterator[Float[np.ndarray, " training"]]:
    """Measure for each judged moment how far its steady points and lids are from all.

    One moment at a time: all together would grow with the square of the length.
    """
    assert truth.subject is not None
    points = truth.subject.arrays["landmarks"]
    chosen = list(_STEADY + _BROWS + LEFT_EYE + RIGHT_EYE)
    judged = points[truth.first : truth.first + truth.count][:, chosen]
    train = points[frames][:, chosen]
    for own in judged:
        yield np.sqrt(((train - own) ** 2).sum(axis=-1).mean(axis=-1))


def _looked_up(frame: Callable[[int], np.ndarray], pick: np.ndarray) -> Shots:
    """Return shots that show a picked frame at each moment."""
    return lambda k: frame(int(pick[k]))


def _thinned(numbers: Sequence[int] | np.ndarray, most: int) -> np.ndarray:
    """Keep at most so many, evenly spaced."""
    numbers = np.asarray(numbers)
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)]
