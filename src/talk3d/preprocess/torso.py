"""The torso: how it moves before the camera, and how the head moves against it.

Comes in: the frames of a video with the solved head, one after the other. Goes out: a
rigid motion of the torso per frame (camera axes to camera axes) and the neck motion of
every frame (see ``talk3d.neck``).

What lies below the chin inside the person's mask is registered to the mean picture of
itself so far by a shift, a change of scale and a roll: Gauss-Newton on the grey values
with robust weights, held by a prior where there is little texture. A torso turns and
its clothes fold, so what the crop shows counts, and what is far outside hardly. The
mean is that of all frames: one that forgets drifts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.spatial.transform import Rotation

from talk3d.face import FaceNets
from talk3d.neck import FADE, LEAN
from talk3d.preprocess.crop import Crop
from talk3d.preprocess.pose import HeadTrack
from talk3d.preprocess.smooth import smooth_series

__all__ = ["TorsoView", "TorsoWatch", "neck_motions", "torso_motions", "torso_view"]

_Grey = Float[np.ndarray, "rows columns"]

_WIDTH = 224
"""Pixels across the registered window at most."""
_REACH = (0.4, 0.6)
"""How far the window reaches beside and below the crop, parts of its side."""
_CHEST = 0.1
"""Depth (world units, toward the face) at which the collar is looked for."""
_THROAT = (0.2, 0.06)
"""Half the width of the throat at the mouth's height and at the collar, world units."""
_HEAD_MARGIN = 0.05
_LEAST_ROWS, _LEAST_AREA = 10, 300
_MASK_EVERY = 25
_SURE = 0.7
_FALL = 0.1
"""Reach of what counts beyond the crop, parts of its side."""
_LEAST_WORTH = 0.01
_PRIOR = np.array([0.06, 0.06, 0.02, 0.02])
"""Standard deviations: shift (parts of the window's width), log scale, roll (rad)."""
_TOGETHER = 50.0
"""Neighbouring pixels err alike: so many count as one."""
_LEVELS = ((6.0, 5), (1.0, 8))
"""Blur (pixels) and number of steps, coarse to fine."""
_LEAST_STRENGTH = 3.0


@dataclass(frozen=True)
class TorsoView:
    """Where the torso is looked at."""

    x: int
    """Left edge, frame pixels."""
    y: int
    """Top edge, frame pixels."""
    width: int
    """Frame pixels."""
    height: int
    """Frame pixels."""
    scale: float
    """Window pixels per frame pixel."""
    worth: _Grey
    """How much a pixel counts, 0 to 1; 0 where the head may be."""

    def cut(self, image: UInt8[np.ndarray, "height width 3"]) -> _Grey:
        """Return the window, grey values 0..1."""
        part = image[self.y : self.y + self.height, self.x : self.x + self.width]
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        size = self.worth.shape[::-1]
        return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def torso_view(
    track: HeadTrack,
    crop: Crop,
    points: Float[np.ndarray, "frames 478 2"],
    size: tuple[int, int],
) -> TorsoView | None:
    """Return the part of the frame below the face, or None where there is too little.

    Args:
        track: The solved head.
        crop: The square.
        points: Landmarks, frame pixels.
        size: Width and height of the frame, pixels.
    """
    beside, below = _REACH
    left = max(0, round(crop.x - beside * crop.side))
    right = min(size[0], round(crop.x + (1 + beside) * crop.side))
    top = max(0, round(float(np.median(points[:, 152, 1]))))
    bottom = min(size[1], round(crop.y + (1 + below) * crop.side))
    scale = min(1.0, _WIDTH / max(right - left, 1))
    rows, columns = round((bottom - top) * scale), round((right - left) * scale)
    if rows < _LEAST_ROWS or columns < _LEAST_ROWS:
        return None
    head = np.zeros((rows, columns), np.uint8)
    every = points[:: max(1, len(points) // 200), :468].reshape(-1, 2)
    hull = cv2.convexHull(((every - [left, top]) * scale).astype(np.int32))
    cv2.fillConvexPoly(head, hull, 1)
    reach = max(3, round(_HEAD_MARGIN * crop.side * scale))
    head = cv2.dilate(head, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    cv2.fillConvexPoly(head, _throat(track, (left, top), scale), 1)
    worth = _nearness((left, top), scale, (rows, columns), crop) * (head == 0)
    return TorsoView(left, top, right - left, bottom - top, scale, worth)


def _nearness(
    corner: tuple[int, int], scale: float, shape: tuple[int, int], crop: Crop
) -> _Grey:
    """Return 1 inside the crop, falling to 0 outside."""
    outside = [
        np.maximum(0, np.abs((np.arange(count) + 0.5) / scale + start - middle) - half)
        for count, start, middle, half in (
            (shape[0], corner[1], crop.y + crop.side / 2, crop.side / 2),
            (shape[1], corner[0], crop.x + crop.side / 2, crop.side / 2),
        )
    ]
    distance = np.hypot(outside[0][:, None], outside[1][None]) / crop.side
    return np.exp(-((distance / _FALL) ** 2)).astype(np.float32)


def _throat(
    track: HeadTrack, corner: tuple[int, int], scale: float
) -> Int[np.ndarray, "4 2"]:
    """Return the outline of the throat in the window: it goes with the head."""
    collar = FADE[0] - LEAN * _CHEST
    outline = np.array(
        [
            [side * width, height, _CHEST]
            for side, width, height in (
                (-1, _THROAT[0], 0.0),
                (1, _THROAT[0], 0.0),
                (1, _THROAT[1], collar),
                (-1, _THROAT[1], collar),
            )
        ]
    )
    middle = Rotation.from_matrix(track.rotation).mean().as_matrix()
    seen = outline @ middle.T + track.translation.mean(0)
    seen = seen[:, :2] / seen[:, 2:] * track.focal + np.array(track.centre)
    return np.round((seen - np.array(corner)) * scale).astype(np.int32)


class TorsoWatch:
    """Registers the torso frame by frame."""

    def __init__(self, view: TorsoView | None, nets: FaceNets) -> None:
        self._view = view
        self._nets = nets
        self._found: list[np.ndarray] = []
        self._mean: np.ndarray | None = None
        self._person: np.ndarray | None = None
        self._masks = 0

    def add(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Take the next frame."""
        if self._view is None:
            self._found.append(np.zeros(4))
            return
        count = len(self._found)
        now = self._view.cut(image)
        if count % _MASK_EVERY == 0:
            self._look(image)
        if self._mean is None:
            self._mean = now
        motion = self._register(now, self._found[-1] if count else np.zeros(4))
        self._found.append(motion)
        moved = _warp(now, motion)
        self._mean += (moved - self._mean) / (count + 1)

    def finish(self) -> Float[np.ndarray, "frames 4"]:
        """Return per frame: shift right and down (frame pixels), log scale, roll.

        The shift is that of the window's middle; the motion takes the mean picture to
        the frame. Smoothed without lag.
        """
        motion = np.stack(self._found)
        if self._view is None:
            return motion
        motion[:, :2] /= self._view.scale
        least = _LEAST_STRENGTH
        return np.stack([smooth_series(c, least=least) for c in motion.T], -1)

    def _look(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Add the network's opinion on where the person is to the mask."""
        view = self._view
        assert view is not None
        # The network wants to see the head too.
        above = max(0, view.y - view.width)
        part = image[above : view.y + view.height, view.x : view.x + view.width]
        mask = self._nets.person_mask(np.ascontiguousarray(part))
        mask = cv2.resize(mask, part.shape[1::-1])[view.y - above :]
        mask = cv2.resize(mask, view.worth.shape[::-1], interpolation=cv2.INTER_AREA)
        before = 0.0 if self._person is None else self._person
        self._masks += 1
        self._person = before + (mask - before) / self._masks

    def _register(self, now: _Grey, start: Float[np.ndarray, "4"]) -> np.ndarray:
        assert self._view is not None
        assert self._mean is not None
        assert self._person is not None
        worth = np.where(self._person > _SURE, self._view.worth, 0.0)
        if (worth > _LEAST_WORTH).sum() < _LEAST_AREA:
            return np.zeros(4)
        for blur, steps in _LEVELS:
            start = register(self._mean, now, worth, start, blur=blur, steps=steps)
        return start


def register(
    mean: _Grey,
    now: _Grey,
    worth: _Grey,
    start: Float[np.ndarray, "4"],
    *,
    blur: float,
    steps: int,
) -> Float[np.ndarray, "4"]:
    """Return shift (pixels), log scale and roll that take ``mean`` to ``now``.

    Args:
        mean: What is looked for.
        now: Where it is looked for.
        worth: How much each pixel of ``mean`` counts, 0 to 1.
        start: First guess.
        blur: Deviation of the blur before comparing, pixels.
        steps: Gauss-Newton steps at most.
    """
    used = worth > _LEAST_WORTH
    wide = mean.shape[1] / 8
    mean, now = (
        cv2.GaussianBlur(grey, (0, 0), blur) - cv2.GaussianBlur(grey, (0, 0), wide)
        for grey in (mean, now)
    )
    x, y = _offsets(mean.shape)
    across, down = np.gradient(mean, axis=1), np.gradient(mean, axis=0)
    slopes = np.stack([across, down, across * x + down * y, down * x - across * y], -1)
    slopes = slopes[used].astype(np.float64)
    rows, columns = mean.shape
    # A low strip tells shifts from turns badly.
    lever = min(1.0, 3 * rows / columns)
    sigma = _PRIOR * [columns, columns, lever, lever]
    motion = start
    for _ in range(steps):
        gap = (_warp(now, motion) - mean)[used].astype(np.float64)
        noise = 1.5 * np.median(np.abs(gap)) + 2e-3
        weight = 1 / (1 + (gap / (2 * noise)) ** 2) ** 2 / (noise**2 * _TOGETHER)
        weight *= worth[used]
        matrix = (slopes * weight[:, None]).T @ slopes + np.diag(sigma**-2)
        vector = slopes.T @ (weight * gap) + motion / sigma**2
        step = np.linalg.solve(matrix, vector)
        motion = motion - step
        if np.abs(step[:2]).max() < 0.005:
            break
    return motion


def _offsets(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = shape
    x = np.arange(columns, dtype=np.float32) - (columns - 1) / 2
    y = np.arange(rows, dtype=np.float32) - (rows - 1) / 2
    return np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)


def _warp(now: _Grey, motion: Float[np.ndarray, "4"]) -> _Grey:
    """Return ``now`` brought back to where the mean picture shows it."""
    rows, columns = now.shape
    right, down, log_scale, roll = motion.tolist()
    cos, sin = np.exp(log_scale) * np.cos(roll), np.exp(log_scale) * np.sin(roll)
    x, y = (columns - 1) / 2, (rows - 1) / 2
    matrix = np.array(
        [
            [cos, -sin, x + right - cos * x + sin * y],
            [sin, cos, y + down - sin * x - cos * y],
        ]
    )
    return cv2.warpAffine(
        now,
        matrix,
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def torso_motions(
    motion: Float[np.ndarray, "frames 4"], view: TorsoView | None, track: HeadTrack
) -> Float[np.ndarray, "frames 4 4"]:
    """Turn registered shifts, scales and rolls into rigid motions in camera axes.

    Args:
        motion: What ``TorsoWatch.finish`` returns.
        view: The window.
        track: The solved head; the torso is taken to be as far as its origin.

    Returns:
        Motions that take the torso from where a frame shows it to its mean place.
    """
    rigid = np.tile(np.eye(4), (len(motion), 1, 1))
    if view is None:
        return rigid
    depth = float(np.median(track.translation[:, 2]))
    middle = np.array([view.x + view.width / 2, view.y + view.height / 2])
    seen = (middle - np.array(track.centre)) / track.focal
    rest = np.append(seen, 1.0) * depth
    moved = np.exp(-motion[:, 2:3]) * depth
    place = np.concatenate(
        [(seen + motion[:, :2] / track.focal) * moved, moved], axis=-1
    )
    turn = Rotation.from_rotvec(motion[:, 3:] * [0.0, 0.0, 1.0]).as_matrix()
    rigid[:, :3, :3] = turn
    rigid[:, :3, 3] = place - turn @ rest
    return np.linalg.inv(rigid)


def neck_motions(
    camera: Float[np.ndarray, "frames 25"],
    torso: Float[np.ndarray, "frames 4 4"],
) -> Float[np.ndarray, "frames 4 4"]:
    """Return the motion of the head against the torso.

    With ``C`` the pose of the camera in the head frame and ``D`` the torso's motion, a
    point ``p`` of the torso is seen at ``D inv(C) p`` when the torso is brought to its
    mean place; the mean head has it at ``M D inv(C) p``, ``M`` the inverse of the mean
    of ``D inv(C)``.

    Args:
        camera: EG3D labels in the head frame.
        torso: What ``torso_motions`` returns.
    """
    pose = camera[:, :16].reshape(-1, 4, 4).astype(np.float64)
    steady = torso @ np.linalg.inv(pose)
    mean = steady.mean(0)
    mean[:3, :3] = Rotation.from_matrix(steady[:, :3, :3]).mean().as_matrix()
    return (np.linalg.inv(mean) @ steady).astype(np.float32)
