"""Lay an avatar back into the video it was made from, at that video's resolution.

The crop of a recording is one square that stands still, so its inverse is a shift and a
scale. Inside, the avatar lies over the source frame of the same moment, whose own head
is hidden by the background plate just around the avatar's outline; toward the sides of
the square the picture fades into the source, so shoulders meet.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.motion import Motion
from talk3d.video import read_frames

__all__ = ["Crop", "SourceFrames", "inlay", "whole_frames"]

_FADE = 0.12
"""Width of the fade toward the sides, part of the square."""
_RING = 0.08
"""How far around the outline the source's own head is hidden, part of the square."""
_CORE = 0.03
"""How far inside the outline colours are compared."""
_LARGEST_SHIFT = 24.0
"""Bound on the change of colour, codes of 256."""
_LEAST_ALPHA = 1e-3
_AHEAD = 100
_FEWEST = 100

Frame = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Crop:
    """The square of the source frames that the avatar shows."""

    x: float
    """Left edge, source pixels; may lie outside the frame."""
    y: float
    """Top edge, source pixels; may lie outside the frame."""
    side: float
    """Side, source pixels."""
    start: float
    """Seconds of the source before the first frame of the recording."""


class SourceFrames:
    """The frames of a video by number, read forward with few jumps.

    Two readers stand at different places, so a fade between two moments does not jump.
    """

    def __init__(self, path: Path, *, fps: float, start: float) -> None:
        """Remember a video.

        Args:
            path: the video.
            fps: frames per second to deliver.
            start: seconds of the video before frame 0.
        """
        self._path, self._fps, self._start = path, fps, start
        self._readers: list[_Reader] = []

    def __getitem__(self, index: int) -> Frame:
        """Return a frame.

        Raises:
            ValueError: if the video ends before it.
        """
        near = [r for r in self._readers if 0 <= index - r.shown <= _AHEAD]
        if near:
            reader = max(near, key=lambda r: r.shown)
            self._readers.remove(reader)
        else:
            start = self._start + index / self._fps
            frames = read_frames(self._path, fps=self._fps, start=start)
            reader = _Reader(frames, index - 1)
        self._readers = [*self._readers[-1:], reader]
        picture = reader.forward(index)
        if picture is None:
            message = (
                f"{self._path} ends before frame {index} of the recording: give the"
                " video that the avatar was made from"
            )
            raise ValueError(message)
        return picture


@dataclass
class _Reader:
    """A place in a video."""

    frames: Iterator[Frame]
    shown: int
    picture: Frame | None = None

    def forward(self, index: int) -> Frame | None:
        """Return a later frame, or the same."""
        for picture in itertools.islice(self.frames, index - self.shown):
            self.picture, self.shown = picture, self.shown + 1
        return self.picture if self.shown == index else None


def whole_frames(
    pictures: Iterator[UInt8[np.ndarray, "size size 4"]],
    plate: UInt8[np.ndarray, "size size 3"],
    sources: SourceFrames,
    crop: Crop,
    motion: Motion,
) -> Iterator[Frame]:
    """Lay the pictures of an avatar into the frames whose motion they follow.

    Where the motion fades from one moment to another, so do the source frames.

    Args:
        pictures: the avatar, straight RGBA, seen from the recorded view.
        plate: the background of the crop without the person.
        sources: the video.
        crop: where the pictures lie in it.
        motion: which frames the pictures follow.

    Yields:
        Frames of the size of the video, less a last odd row or column.
    """
    moments = (x.tolist() for x in (motion.first, motion.second, motion.share))
    for picture, first, second, share in zip(pictures, *moments, strict=True):
        source = sources[first]
        if share > 0:
            source = cv2.addWeighted(source, 1 - share, sources[second], share, 0)
        height, width = source.shape[:2]
        even = source[: height // 2 * 2, : width // 2 * 2]
        yield inlay(picture, plate, even, crop)


def inlay(
    picture: UInt8[np.ndarray, "size size 4"],
    plate: UInt8[np.ndarray, "size size 3"],
    source: Frame,
    crop: Crop,
) -> Frame:
    """Lay a frame of the avatar over the source frame of the same pose.

    Args:
        picture: the avatar, straight RGBA.
        plate: the background of the crop without the person.
        source: the source frame.
        crop: where the picture lies in it.
    """
    height, width = source.shape[:2]
    left, top = max(0, int(crop.x)), max(0, int(crop.y))
    right = min(width, int(np.ceil(crop.x + crop.side)))
    bottom = min(height, int(np.ceil(crop.y + crop.side)))
    box = (slice(top, bottom), slice(left, right))
    place = _Placing(crop, left, top, right - left, bottom - top)
    under = source[box].astype(np.float32)
    weight = picture[..., 3:].astype(np.float32) / 255
    alpha = place.warp(weight[..., 0]).clip(0, 1)[..., None]
    # Weighted by the matte, for beyond it the colour is black.
    colour = place.warp(picture[..., :3] * weight) / np.maximum(alpha, _LEAST_ALPHA)
    colour = colour.clip(0, 255)
    colour += _colour_shift(colour, under, alpha, crop.side)
    reach = 2 * round(_RING * crop.side / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate((alpha[..., 0] > 0.1).astype(np.float32), kernel)
    hidden = cv2.GaussianBlur(near, (0, 0), reach / 4)[..., None]
    behind = under + hidden * (place.warp(plate.astype(np.float32)) - under)
    laid = behind + alpha * (colour - behind)
    fade = place.fade((left > 0, top > 0, right < width, bottom < height))
    result = source.copy()
    mixed = under + fade[..., None] * (laid - under)
    result[box] = (mixed + 0.5).clip(0, 255).astype(np.uint8)
    return result


@dataclass(frozen=True)
class _Placing:
    """Pixels of the crop's box in the source frame."""

    crop: Crop
    left: int
    top: int
    width: int
    height: int

    def warp(self, picture: np.ndarray) -> np.ndarray:
        """Resample a picture of the crop at the pixels of the box."""
        scale = picture.shape[0] / self.crop.side
        shift = [
            (origin + 0.5 - edge) * scale - 0.5
            for origin, edge in ((self.left, self.crop.x), (self.top, self.crop.y))
        ]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        return cv2.warpAffine(
            picture,
            matrix,
            (self.width, self.height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def fade(
        self, inner: tuple[bool, bool, bool, bool]
    ) -> Float[np.ndarray, "height width"]:
        """Return 1 in the middle, falling to 0 at the sides that lie in the frame.

        Args:
            inner: whether the left, top, right and bottom side lie in the frame.
        """
        reach = _FADE * self.crop.side
        x, y = np.arange(self.width) + 0.5, np.arange(self.height) + 0.5
        ways = (x, y, self.width - x, self.height - y)
        ramps = [
            _smooth(np.minimum(way / reach, 1)) if lies else np.ones_like(way)
            for way, lies in zip(ways, inner, strict=True)
        ]
        across, down = ramps[0] * ramps[2], ramps[1] * ramps[3]
        return (down[:, None] * across[None]).astype(np.float32)


def _smooth(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)


def _colour_shift(
    colour: Float[np.ndarray, "height width 3"],
    under: Float[np.ndarray, "height width 3"],
    alpha: Float[np.ndarray, "height width 1"],
    side: float,
) -> Float[np.ndarray, "3"]:
    """Return what the avatar's colours lack against the light of the source frame."""
    reach = 2 * round(_CORE * side / 2) + 1
    kernel = np.ones((reach, reach), np.uint8)
    core = cv2.erode((alpha[..., 0] > 0.95).astype(np.uint8), kernel) > 0
    if core.sum() < _FEWEST:
        return np.zeros(3, np.float32)
    shift = np.median((under - colour)[core], axis=0)
    return shift.clip(-_LARGEST_SHIFT, _LARGEST_SHIFT).astype(np.float32)
