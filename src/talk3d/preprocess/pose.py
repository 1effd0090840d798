"""Solve camera, head pose, face shape and expression of a whole video.

In: 478 landmarks per frame in pixels. Out: one focal length and one identity for the
video, and for each frame the head's rigid pose and 53 expression weights.

The model is ``x = project(focal, R (mean + identity + expression) + t)``, camera axes
as in ``camera.py`` (OpenCV), lengths in world units. It is fitted by Gauss-Newton with
Huber weights and Gaussian priors: identity ~ N(0, 1), expression ~ N(0, 0.3), the
logarithm of the focal length about a plausible value. Focal and identity come from
some key frames spread over the head's turns (per-frame unknowns eliminated by a Schur
complement), then each frame is solved alone. Points that move in speech are explained
by the expression, so speech does not shake the head.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, Int

from talk3d.face import FaceShape, view_slide

__all__ = [
    "HeadTrack",
    "PoseConfig",
    "landmark_residual",
    "model_points",
    "project_points",
    "refit_expression",
    "refit_place",
    "solve_track",
]


_CHUNK = 64
_TURN_AND_DEPTH = [0, 1, 2, 5]
_POSE = [0, 1, 2, 3, 4, 5]


@dataclass(frozen=True)
class PoseConfig:
    """Settings of the fit."""

    key_frames: int = 80
    """Frames from which focal length and identity are found."""
    iterations: int = 25
    """Gauss-Newton steps of the joint fit."""
    point_noise: float = 0.006
    """Standard deviation of a landmark, as a part of the face's width."""
    expression_sigma: float = 0.3
    """Prior standard deviation of expression weights."""
    focal_sigma: float = 0.25
    """Prior standard deviation of the logarithm of the focal length."""
    huber: float = 2.0
    """Residuals beyond this many standard deviations count linearly."""


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


def model_points(
    shape: FaceShape,
    identity: Float[np.ndarray, " modes"],
    expression: Float[np.ndarray, "frames 53"],
) -> Float[np.ndarray, "frames 478 3"]:
    """Return the landmarks in the head frame."""
    neutral = shape.mean + np.tensordot(identity, shape.identity, 1)
    moved = expression.astype(np.float32) @ shape.expression.reshape(53, -1)
    return neutral + moved.reshape(-1, 478, 3)


def project_points(
    points: Float[np.ndarray, "frames n 3"], track: HeadTrack
) -> Float[np.ndarray, "frames n 2"]:
    """Project head-frame points of each frame to pixels."""
    seen = points @ track.rotation.transpose(0, 2, 1) + track.translation[:, None]
    return seen[..., :2] / seen[..., 2:] * track.focal + np.array(track.centre)


@dataclass
class _State:
    log_focal: float
    identity: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray


class _Problem:
    """Residuals and their derivatives for a set of frames, in single precision."""

    def __init__(
        self,
        shape: FaceShape,
        points: Float[np.ndarray, "frames 478 2"],
        centre: tuple[float, float],
        config: PoseConfig,
    ) -> None:
        self.config = config
        self.shape = shape
        self.points = (points - np.array(centre)).astype(np.float32)
        # One 3 x modes matrix per landmark, expression first.
        modes = np.concatenate([shape.expression, shape.identity])
        self.modes = np.ascontiguousarray(modes.transpose(1, 2, 0))
        width = np.linalg.norm(points[:, 454] - points[:, 234], axis=-1)
        unit = float(np.linalg.norm(shape.mean[454] - shape.mean[234]))
        noise = config.point_noise**2 + (np.minimum(shape.spread, 0.03) / unit) ** 2
        self.sigma = (float(np.median(width)) * np.sqrt(noise)).astype(np.float32)

    def linearise(
        self, state: _State, frames: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weighted residuals, frame Jacobian, shared Jacobian.

        Frame unknowns: rotation vector (3), translation (3), expression (53). Shared:
        identity modes, then the logarithm of the focal length. The slide of the points
        with the view is held during a step.
        """
        focal = np.float32(np.exp(state.log_focal))
        rotation = state.rotation[frames].astype(np.float32)
        shift = state.translation[frames].astype(np.float32)
        head = model_points(self.shape, state.identity, state.expression[frames])
        turned = head.astype(np.float32) @ rotation.transpose(0, 2, 1)
        seen = turned + shift[:, None]
        depth = seen[..., 2]
        ratio = seen[..., :2] / depth[..., None]
        slide = view_slide(self.shape, rotation) * (focal / shift[:, 2])[:, None, None]
        residual = ratio * focal + slide.astype(np.float32) - self.points[frames]
        weight = self._weights(residual)
        # Derivative of the projection by the seen point: 2 x 3 per landmark.
        slope = np.zeros((*depth.shape, 2, 3), np.float32)
        slope[..., 0, 0] = slope[..., 1, 1] = focal / depth
        slope[..., :, 2] = -ratio * (focal / depth)[..., None]
        slope *= weight[..., None, None]
        x, y, z = np.moveaxis(turned, -1, 0)
        zero = np.zeros_like(x)
        cross = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1)
        by_rotation = slope @ cross.reshape(*x.shape, 3, 3)
        by_modes = self._by_modes(slope @ rotation[:, None])
        by_focal = (ratio * focal * weight[..., None])[..., None]
        split = len(self.shape.expression)
        frame = np.concatenate([by_rotation, slope, by_modes[..., :split]], -1)
        shared = np.concatenate([by_modes[..., split:], by_focal], -1)
        count = len(depth)
        return (
            (residual * weight[..., None]).reshape(count, -1),
            frame.reshape(count, -1, frame.shape[-1]),
            shared.reshape(count, -1, shared.shape[-1]),
        )

    def _by_modes(self, by_head: np.ndarray) -> np.ndarray:
        """Multiply (frames, 478, 2, 3) by each landmark's modes in large products."""
        count = len(by_head)
        per_point = by_head.transpose(1, 0, 2, 3).reshape(478, count * 2, 3)
        product = (per_point @ self.modes).reshape(478, count, 2, -1)
        return product.transpose(1, 0, 2, 3)

    def _weights(self, residual: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(residual, axis=-1) / self.sigma
        huber = np.minimum(1.0, self.config.huber / np.maximum(size, 1e-9))
        return np.sqrt(huber) / self.sigma


def _apply_frame_step(state: _State, frames: slice, step: np.ndarray) -> None:
    turn = np.stack([cv2.Rodrigues(v)[0] for v in step[:, :3]])
    state.rotation[frames] = turn @ state.rotation[frames]
    state.translation[frames] += step[:, 3:6]
    state.expression[frames] = np.clip(state.expression[frames] + step[:, 6:], 0, 1)


def _frame_system(
    state: _State,
    frames: slice,
    residual: np.ndarray,
    jacobian: np.ndarray,
    sigma: float,
) -> tuple[np.ndarray, np.ndarray]:
    transposed = jacobian.transpose(0, 2, 1)
    matrix = (transposed @ jacobian).astype(np.float64)
    vector = (transposed @ residual[..., None])[..., 0].astype(np.float64)
    diagonal = np.arange(6, matrix.shape[-1])
    matrix[:, diagonal, diagonal] += 1 / sigma**2
    vector[:, 6:] += state.expression[frames] / sigma**2
    return matrix, vector


def _solve_shared(problem: _Problem, state: _State, prior_log_focal: float) -> None:
    """Fit focal length and identity together with all given frames, in place."""
    config = problem.config
    everything = slice(0, len(problem.points))
    modes = len(state.identity)
    for _ in range(config.iterations):
        residual, frame, shared = problem.linearise(state, everything)
        matrix, vector = _frame_system(
            state, everything, residual, frame, config.expression_sigma
        )
        mixed = frame.transpose(0, 2, 1) @ shared
        solved = np.linalg.solve(matrix, np.concatenate([mixed, vector[..., None]], -1))
        flat = shared.reshape(-1, modes + 1)
        ours = (flat.T @ flat).astype(np.float64)
        ours_vector = (flat.T @ residual.ravel()).astype(np.float64)
        prior = np.append(np.ones(modes), 1 / config.focal_sigma**2)
        scale = _effective_frames(len(problem.points)) / len(problem.points)
        offset = np.r_[state.identity, state.log_focal - prior_log_focal]
        left = ours - np.einsum("fij,fik->jk", mixed, solved[..., :-1])
        right = ours_vector - np.einsum("fij,fi->j", mixed, solved[..., -1])
        left = scale * left + np.diag(prior)
        right = scale * right + prior * offset
        step = -np.linalg.solve(left, right)
        state.identity = state.identity + step[:modes]
        state.log_focal += float(np.clip(step[modes], -0.2, 0.2))
        frame_step = -(solved[..., -1] + solved[..., :-1] @ step)
        _apply_frame_step(state, everything, frame_step)
        if np.abs(step).max() < 1e-4:
            break


def _effective_frames(frames: int) -> float:
    """Landmark errors of a person repeat from frame to frame: count few frames."""
    return min(frames, 4.0)


def _solve_frames(
    problem: _Problem, state: _State, held: list[int], *, iterations: int = 6
) -> None:
    """Fit each frame with the shared unknowns, and those in ``held``, held."""
    for start in range(0, len(problem.points), _CHUNK):
        frames = slice(start, min(start + _CHUNK, len(problem.points)))
        for _ in range(iterations):
            residual, frame, _ = problem.linearise(state, frames)
            frame[..., held] = 0
            matrix, vector = _frame_system(
                state, frames, residual, frame, problem.config.expression_sigma
            )
            matrix[:, held, held] = 1
            step = -np.linalg.solve(matrix, vector[..., None])[..., 0]
            _apply_frame_step(state, frames, step)


def _start_poses(
    shape: FaceShape,
    points: Float[np.ndarray, "frames 478 2"],
    focal: float,
    centre: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
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
    return np.stack(rotations), np.stack(translations)


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
    focal = prior_focal or _plausible_focal(points, size, shape)
    keys = _key_frames(points, config.key_frames)
    rotation, translation = _start_poses(shape, points, focal, centre)
    modes = len(shape.identity)
    key_state = _State(
        np.log(focal),
        np.zeros(modes),
        rotation[keys],
        translation[keys],
        np.zeros((len(keys), 53)),
    )
    _solve_shared(
        _Problem(shape, points[keys], centre, config), key_state, np.log(focal)
    )
    state = _State(
        key_state.log_focal,
        key_state.identity,
        rotation,
        translation * np.exp(key_state.log_focal - np.log(focal)),
        np.zeros((len(points), 53)),
    )
    _solve_frames(_Problem(shape, points, centre, config), state, held=[])
    return HeadTrack(
        float(np.exp(state.log_focal)),
        centre,
        state.identity,
        state.rotation,
        state.translation,
        state.expression,
    )


def landmark_residual(
    points: Float[np.ndarray, "frames 478 2"], track: HeadTrack, shape: FaceShape
) -> Float[np.ndarray, "frames 478 2"]:
    """Return predicted minus seen landmarks, pixels."""
    head = model_points(shape, track.identity, track.expression)
    scale = track.focal / track.translation[:, 2]
    slide = view_slide(shape, track.rotation) * scale[:, None, None]
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
    state = _State(
        np.log(track.focal),
        track.identity,
        track.rotation.copy(),
        track.translation.copy(),
        track.expression.copy(),
    )
    problem = _Problem(shape, points, track.centre, config)
    _solve_frames(problem, state, held, iterations=3)
    return replace(track, translation=state.translation, expression=state.expression)


def _plausible_focal(
    points: Float[np.ndarray, "frames 478 2"], size: tuple[int, int], shape: FaceShape
) -> float:
    """Return a focal in pixels: 60 degrees diagonal, kept within 2.5..6 crops."""
    width = np.median(np.linalg.norm(points[:, 454] - points[:, 234], axis=-1))
    unit = np.linalg.norm(shape.mean[454] - shape.mean[234])
    crop = width / unit * 2.7 / 4.2647
    diagonal = np.hypot(*size) / 2 / np.tan(np.radians(30))
    return float(np.clip(diagonal, 2.5 * crop, 6 * crop))
