"""First pass over a video: follow every face and measure the recording.

In: the frames, one at a time. Out: ``Recording``, the landmarks of each face and a few
numbers per frame. No frame is kept. The result is saved, so that a later run with the
same input starts from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from talk3d.checkpoint import write_atomically
from talk3d.face import INNER_LIPS, OUTER_LIPS, FaceNets, FaceTracker, Roi

__all__ = ["Recording", "load_recording", "record", "save_recording"]

_Image = UInt8[np.ndarray, "height width 3"]

_MOST_FACES = 4
_DETECT_EVERY = 5
_LIP_SIZE = 64
_BACKGROUND_WIDTH = 192
_CORNERS = 80
_LEAST_CORNERS = 8
_STRONG = 3e-4
"""Least eigenvalue of the structure tensor: noise of a plain wall stays below."""
_AGREE = 0.5
"""Pixels of the small picture."""
_FACE_WIDTH = (234, 454)


@dataclass(frozen=True)
class Recording:
    """What the first pass found."""

    landmarks: Float[np.ndarray, "faces frames 478 2"]
    """Pixels; NaN where a face is not seen."""
    light: Float[np.ndarray, " frames"]
    """Mean brightness of the main face, 0..1."""
    clipped: Float[np.ndarray, " frames"]
    """Part of the main face that is black or white."""
    sharpness: Float[np.ndarray, " frames"]
    """Fine detail of the main face against its contrast."""
    change: Float[np.ndarray, " frames"]
    """Mean change of the whole picture since the frame before, 0..1."""
    drift: Float[np.ndarray, "frames 2"]
    """Motion of the background since the frame before, picture widths."""
    lips: Float[np.ndarray, "frames 3"]
    """Lab colour of the main face's lips against the skin around them."""


def record(frames: Iterable[_Image], nets: FaceNets) -> Recording:
    """Follow the faces through a video."""
    faces = _Faces(nets)
    background = _Background()
    rows: list[tuple] = []
    before: np.ndarray | None = None
    for image in frames:
        faces.update(image)
        small = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA).astype(float)
        change = 0.0 if before is None else float(np.abs(small - before).mean()) / 255
        before = small
        points = faces.largest()
        drift = background.update(image, points)
        rows.append((*_measure(image, points), change, drift))
    light, clipped, sharpness, lips, change, drift = zip(*rows, strict=True)
    return Recording(
        faces.finish(),
        np.array(light, np.float32),
        np.array(clipped, np.float32),
        np.array(sharpness, np.float32),
        np.array(change, np.float32),
        np.array(drift, np.float32),
        np.array(lips, np.float32),
    )


def save_recording(recording: Recording, path: Path, key: str) -> None:
    """Write a recording; ``key`` says what it was made from."""
    values = {f.name: getattr(recording, f.name) for f in fields(Recording)}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=np.array(key), **values)


def load_recording(path: Path, key: str) -> Recording | None:
    """Read a recording made from the same input, if there is one."""
    if not path.is_file():
        return None
    with np.load(path) as file:
        if str(file["key"]) != key:
            return None
        return Recording(**{f.name: file[f.name] for f in fields(Recording)})


class _Faces:
    """Tracks of several faces."""

    def __init__(self, nets: FaceNets) -> None:
        self._nets = nets
        self._trackers: list[FaceTracker] = []
        self._found: list[list[np.ndarray | None]] = []
        self._count = 0

    def update(self, image: _Image) -> None:
        """Follow all faces into the next frame; look for new ones now and then."""
        now = [tracker.follow(image) for tracker in self._trackers]
        for track, points in zip(self._found, now, strict=True):
            track.append(points)
        lost = any(points is None for points in now) or not now
        if lost or self._count % _DETECT_EVERY == 0:
            for roi in self._nets.detect(image):
                self._take(image, roi)
        self._count += 1

    def _take(self, image: _Image, roi: Roi) -> None:
        """Give a detected face to the track it belongs to, or start a track.

        Where there are as many as may be, the least of the lost ones is given up.
        """
        shown = [track[-1] for track in self._found]
        if any(points is not None and _inside(roi, points) for points in shown):
            return
        free = [k for k, points in enumerate(shown) if points is None]
        near = [k for k in free if self._continues(k, roi)]
        if not free and len(self._found) == _MOST_FACES:
            return
        tracker = self._trackers[near[0]] if near else FaceTracker(self._nets)
        points = tracker.start(image, roi)
        if points is None or any(
            other is not None and _same(points, other) for other in shown
        ):
            return
        if near:
            self._found[near[0]][-1] = points
            return
        if len(self._found) == _MOST_FACES:
            least = min(free, key=lambda k: _shown_width(self._found[k]))
            del self._trackers[least], self._found[least]
        self._trackers.append(tracker)
        self._found.append([None] * self._count + [points])

    def _continues(self, index: int, roi: Roi) -> bool:
        last = next((p for p in reversed(self._found[index]) if p is not None), None)
        if last is None:
            return True
        middle = last[:468].mean(0)
        return bool(np.hypot(*(middle - [roi.x, roi.y])) < 1.5 * roi.size)

    def largest(self) -> Float[np.ndarray, "478 2"] | None:
        """Return the landmarks of the largest face of the last frame."""
        shown = [track[-1] for track in self._found if track[-1] is not None]
        return max(shown, key=_width) if shown else None

    def finish(self) -> Float[np.ndarray, "faces frames 478 2"]:
        """Return all tracks, the most shown and largest first."""
        blank = np.full((478, 2), np.nan, np.float32)
        tracks = [
            np.stack([blank if points is None else points for points in track])
            for track in self._found
        ]
        if not tracks:
            return np.zeros((0, self._count, 478, 2), np.float32)
        tracks.sort(key=lambda track: -float(np.nansum(_width(track))))
        return np.stack(tracks)


def _width(points: np.ndarray) -> np.ndarray | np.floating:
    first, last = _FACE_WIDTH
    return np.linalg.norm(points[..., first, :] - points[..., last, :], axis=-1)


def _shown_width(track: list[np.ndarray | None]) -> float:
    return sum(float(_width(points)) for points in track if points is not None)


def _inside(roi: Roi, points: np.ndarray) -> bool:
    middle = points[:468].mean(0)
    return bool(np.hypot(*(middle - [roi.x, roi.y])) < 0.4 * roi.size)


def _same(points: np.ndarray, other: np.ndarray) -> bool:
    gap = np.linalg.norm(points[:468].mean(0) - other[:468].mean(0))
    return bool(gap < 0.5 * max(_width(points), _width(other)))


def _measure(
    image: _Image, points: np.ndarray | None
) -> tuple[float, float, float, tuple[float, float, float]]:
    """Return brightness, clipped part, sharpness and lip colour."""
    unknown = (np.nan, np.nan, np.nan, (np.nan, np.nan, np.nan))
    if points is None:
        return unknown
    low = np.clip(points[:468].min(0), 0, None).astype(int)
    high = points[:468].max(0).astype(int) + 1
    face = image[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 8:
        return unknown
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
    detail = cv2.Laplacian(small, cv2.CV_64F).std() / (small.std() + 1e-3)
    clipped = float(((grey < 8) | (grey > 247)).mean())
    return float(grey.mean()) / 255, clipped, float(detail), _lips(image, points)


def _lips(
    image: _Image, points: Float[np.ndarray, "478 2"]
) -> tuple[float, float, float]:
    """Return the mean Lab colour of the lips minus that of the skin around them."""
    outer, inner = points[list(OUTER_LIPS)], points[list(INNER_LIPS)]
    middle = outer.mean(0)
    side = 2.0 * float(np.ptp(outer, axis=0).max())
    roi = Roi(float(middle[0]), float(middle[1]), max(side, 4.0), 0.0)
    scale = _LIP_SIZE / roi.size
    cut = cv2.warpAffine(
        image,
        roi.to_image(_LIP_SIZE),
        (_LIP_SIZE, _LIP_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    colour = cv2.cvtColor(cut.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    def area(polygon: np.ndarray, grow: float) -> np.ndarray:
        mask = np.zeros((_LIP_SIZE, _LIP_SIZE), np.uint8)
        placed = (polygon - middle) * scale * grow + _LIP_SIZE / 2
        return cv2.fillPoly(mask, [placed.astype(np.int32)], 1) > 0

    lips = area(outer, 1.0) & ~area(inner, 1.0)
    skin = area(outer, 1.7) & ~area(outer, 1.2)
    if not lips.any() or not skin.any():
        return np.nan, np.nan, np.nan
    light, red, yellow = (colour[lips].mean(0) - colour[skin].mean(0)).tolist()
    return light, red, yellow


class _Background:
    """Follows corners beside the person from frame to frame."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def update(self, image: _Image, points: np.ndarray | None) -> tuple[float, float]:
        """Return the median motion, picture widths; NaN where nothing can be told."""
        height, width = image.shape[:2]
        size = (_BACKGROUND_WIDTH, max(8, round(_BACKGROUND_WIDTH * height / width)))
        grey = cv2.resize(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA
        )
        before, self._before = self._before, grey
        if before is None or points is None:
            return np.nan, np.nan
        mask = np.full(grey.shape, 255, np.uint8)
        scale = size[0] / width
        low, high = points.min(0) * scale, points.max(0) * scale
        side = float((high - low).max())
        left, right = round(low[0] - 0.5 * side), round(high[0] + 0.5 * side)
        mask[max(0, round(low[1] - 0.5 * side)) :, max(0, left) : max(0, right)] = 0
        mask[max(0, round(high[1])) :] = 0
        corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.02, 5, mask=mask)
        if corners is None or len(corners) < _LEAST_CORNERS:
            return np.nan, np.nan
        step = _steps(before, grey, corners)
        if len(step) < _LEAST_CORNERS:
            return np.nan, np.nan
        middle = np.median(step, 0)
        # Points that disagree are noise or things that move in the background.
        if (np.linalg.norm(step - middle, axis=-1) < _AGREE).mean() < 0.6:
            return np.nan, np.nan
        across, down = middle / size[0]
        return float(across), float(down)


def _steps(
    before: UInt8[np.ndarray, "height width"],
    now: UInt8[np.ndarray, "height width"],
    corners: Float[np.ndarray, "n 1 2"],
) -> Float[np.ndarray, "kept 2"]:
    """Return the motion of those corners that are found again on the way back."""
    there, good, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, corners.copy())
    back, found, _ = cv2.calcOpticalFlowPyrLK(now, before, there, there.copy())
    strong = cv2.cornerMinEigenVal(before, 5)
    column, row = corners[:, 0].astype(int).T
    kept = (good[:, 0] > 0) & (found[:, 0] > 0) & (strong[row, column] > _STRONG)
    kept &= np.linalg.norm((back - corners)[:, 0], axis=-1) < _AGREE
    return (there - corners)[kept, 0]
