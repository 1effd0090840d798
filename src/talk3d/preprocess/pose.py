"""Solve camera, head pose, face shape and expression of a whole video.

In: 478 landmarks per frame in pixels. Out: one focal length and one identity for the
video, and for each frame the head's rigid pose and 53 expression weights.

The model is ``x = project(focal, R (mean + identity + expression) + t)``, camera axes
as in ``camera.py`` (OpenCV), lengths in world units. Focal length and identity come
from some key frames spread over the head's turns, then each frame is solved alone.
Points that move in speech are explained by the expression, so speech does not shake
the head.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from talk3d.camera import DEFAULT_FOCAL, DEFAULT_RADIUS
from talk3d.face import FaceShape
from talk3d.preprocess.fit import (
    FitState,
    PoseConfig,
    Problem,
    fit_frames,
    fit_shared,
    head_points,
)
from talk3d.slide import view_slide

__all__ = [
    "HeadTrack",
    "landmark_error",
    "plausible_focal",
    "project_points",
    "refit_expression",
    "refit_place",
    "solve_track",
]

_TURN_AND_DEPTH = [0, 1, 2, 5]
_POSE = [0, 1, 2, 3, 4, 5]
_UNKNOWNS = 59
_ERROR_FRAMES = 2000
_DIAGONAL_VIEW = np.radians(60)
_FOCAL_RANGE = (2.55, 5.8)
"""Focal length / crop, a little within the 2.5 to 6 that the prior was trained on."""


@dataclass(frozen=True)
class HeadTrack:
    """A solved video."""

    focal: float
    """Focal length, pixels of the frame."""
    centre: tuple[float, float]
    """Principal point, pixels of the frame."""
    identity: Float[np.ndarray, " modes"]
    """Identity weights, standard deviations."""
    rotation: Float[np.ndarray, "frames 3 3"]
    """Head frame to camera axes."""
    translation: Float[np.ndarray, "frames 3"]
    """Origin of the head frame in camera axes, world units."""
    expression: Float[np.ndarray, "frames 53"]
    """Expression weights."""


def project_points(
    points: Float[np.ndarray, "frames n 3"], track: HeadTrack
) -> Float[np.ndarray, "frames n 2"]:
    """Project head-frame points of each frame to pixels."""
    seen = points @ track.rotation.transpose(0, 2, 1) + track.translation[:, None]
    return seen[..., :2] / seen[..., 2:] * track.focal + np.array(track.centre)


def _start(
    shape: FaceShape,
    points: Float[np.ndarray, "frames 478 2"],
    focal: float,
    centre: tuple[float, float],
) -> FitState:
    """Pose each frame on its own by PnP with the mean shape."""
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    use = np.argsort(shape.spread)[:200]
    rotations, translations = [], []
    for frame in points:
        _, turn, shift = cv2.solvePnP(
            shape.mean[use].astype(np.float64),
            frame[use].astype(np.float64),
            camera,
            None,
            flags=cv2.SOLVEPNP_SQPNP,
        )
        rotations.append(cv2.Rodrigues(turn)[0])
        translations.append(shift[:, 0])
    return FitState(
        float(np.log(focal)),
        np.zeros(len(shape.identity)),
        np.stack(rotations),
        np.stack(translations),
        np.zeros((len(points), len(shape.expression))),
    )


def _key_frames(
    points: Float[np.ndarray, "frames 478 2"], count: int
) -> Int[np.ndarray, " keys"]:
    """Pick frames that cover the head's turns evenly (farthest-point sampling)."""
    count = min(count, len(points))
    middle = points.mean(1, keepdims=True)
    size = np.linalg.norm(points - middle, axis=-1).mean(-1)[:, None, None]
    form = ((points - middle) / size)[:, [1, 10, 152, 33, 263, 234, 454]]
    form = form.reshape(len(points), -1)
    chosen = [int(np.linalg.norm(form - form.mean(0), axis=1).argmin())]
    near = np.linalg.norm(form - form[chosen[0]], axis=1)
    half = count // 2
    while len(chosen) < half:
        chosen.append(int(near.argmax()))
        near = np.minimum(near, np.linalg.norm(form - form[chosen[-1]], axis=1))
    spread = np.linspace(0, len(points) - 1, count - len(chosen)).round().astype(int)
    return np.unique(np.concatenate([chosen, spread]))


def solve_track(
    points: Float[np.ndarray, "frames 478 2"],
    size: tuple[int, int],
    shape: FaceShape,
    config: PoseConfig | None = None,
    prior_focal: float | None = None,
) -> HeadTrack:
    """Solve a video whose every frame has landmarks."""
    config = config or PoseConfig()
    centre = (size[0] / 2, size[1] / 2)
    focal = prior_focal or plausible_focal(points, size, shape)
    start = _start(shape, points, focal, centre)
    keys = _key_frames(points, config.key_frames)
    key_problem = Problem(shape, points[keys], centre, config)
    key_start = replace(
        start,
        rotation=start.rotation[keys],
        translation=start.translation[keys],
        expression=start.expression[keys],
    )
    shared = fit_shared(key_problem, key_start, float(np.log(focal)))
    crop = shared.mean_size() * DEFAULT_RADIUS / DEFAULT_FOCAL
    least, most = (np.log(limit * crop) for limit in _FOCAL_RANGE)
    if not least <= shared.log_focal <= most:
        bound = float(np.clip(shared.log_focal, least, most))
        fixed = Problem(shape, points[keys], centre, replace(config, focal_sigma=1e-3))
        still = np.zeros((len(keys), _UNKNOWNS))
        shared = fit_shared(fixed, shared.moved(still, bound - shared.log_focal), bound)
    state = replace(
        start,
        log_focal=shared.log_focal,
        identity=shared.identity,
        translation=start.translation * np.exp(shared.log_focal) / focal,
    )
    state = fit_frames(Problem(shape, points, centre, config), state, held=[])
    return HeadTrack(
        float(np.exp(state.log_focal)),
        centre,
        state.identity,
        state.rotation,
        state.translation,
        state.expression,
    )


def landmark_error(
    points: Float[np.ndarray, "frames 478 2"],
    valid: Bool[np.ndarray, " frames"],
    track: HeadTrack,
    shape: FaceShape,
) -> tuple[float, float]:
    """Return the RMS distance of predicted from seen landmarks, pixels.

    Of a long video some frames, evenly spread, are looked at.

    Args:
        points: Seen landmarks, pixels.
        valid: Frames that count.
        track: The solved head.
        shape: The face shape.

    Returns:
        The distance, and that of what varies: without each point's mean over the video.
    """
    frames = np.nonzero(valid)[0]
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _ERROR_FRAMES))
    frames = frames[chosen.round().astype(int)]
    residual = _residual(points[frames], _part(track, frames), shape)
    varying = residual - residual.mean(0)
    whole, varied = (
        float(np.sqrt((part**2).sum(-1).mean())) for part in (residual, varying)
    )
    return whole, varied


def _part(track: HeadTrack, frames: Int[np.ndarray, " n"]) -> HeadTrack:
    return replace(
        track,
        rotation=track.rotation[frames],
        translation=track.translation[frames],
        expression=track.expression[frames],
    )


def _residual(
    points: Float[np.ndarray, "frames 478 2"], track: HeadTrack, shape: FaceShape
) -> Float[np.ndarray, "frames 478 2"]:
    """Return predicted minus seen landmarks, pixels."""
    head = head_points(shape, track.identity, track.expression)
    scale = track.focal / track.translation[:, 2]
    slide = view_slide(shape.slide, track.rotation) * scale[:, None, None]
    return project_points(head, track) + slide - points


def refit_place(
    track: HeadTrack,
    points: Float[np.ndarray, "frames 478 2"],
    shape: FaceShape,
    config: PoseConfig,
) -> HeadTrack:
    """Fit sideways position and expression again; turn and distance are held."""
    return _refit(track, points, shape, config, _TURN_AND_DEPTH)


def refit_expression(
    track: HeadTrack,
    points: Float[np.ndarray, "frames 478 2"],
    shape: FaceShape,
    config: PoseConfig,
) -> HeadTrack:
    """Fit the expression again; the pose is held."""
    return _refit(track, points, shape, config, _POSE)


def _refit(
    track: HeadTrack,
    points: Float[np.ndarray, "frames 478 2"],
    shape: FaceShape,
    config: PoseConfig,
    held: list[int],
) -> HeadTrack:
    state = FitState(
        float(np.log(track.focal)),
        track.identity,
        track.rotation,
        track.translation,
        track.expression,
    )
    problem = Problem(shape, points, track.centre, config)
    state = fit_frames(problem, state, held, iterations=3)
    return replace(track, translation=state.translation, expression=state.expression)


def plausible_focal(
    points: Float[np.ndarray, "frames 478 2"], size: tuple[int, int], shape: FaceShape
) -> float:
    """Return a likely focal length in pixels.

    Landmarks say little about it, so the guess weighs: the geometric mean of a camera
    that sees 60 degrees along the diagonal (right if the picture is not cropped) and
    the prior's default view, within what the prior knows.
    """
    width = np.median(np.linalg.norm(points[:, 454] - points[:, 234], axis=-1))
    unit = np.linalg.norm(shape.mean[454] - shape.mean[234])
    crop = width / unit * DEFAULT_RADIUS / DEFAULT_FOCAL
    diagonal = np.hypot(*size) / 2 / np.tan(_DIAGONAL_VIEW / 2)
    least, most = _FOCAL_RANGE
    wide = np.clip(diagonal / crop, least, most)
    return float(np.sqrt(wide * DEFAULT_FOCAL) * crop)
