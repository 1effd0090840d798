"""Gauss-Newton for the face model: residuals, derivatives and damped steps.

Unknowns shared by all frames: identity weights and the logarithm of the focal length.
Unknowns of a frame: a turn (3), the pixel at which the head's origin is seen (2), the
logarithm of the head's size in the picture (pixels per world unit), expression weights
(53). So a change of the focal length alone changes nothing but the perspective.
Landmark errors get Huber weights; identity, expression and focal length have Gaussian
priors. A step that does not lower the cost is halved, then dropped.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from talk3d.face import FaceShape
from talk3d.slide import view_slide

__all__ = [
    "FitState",
    "PoseConfig",
    "Problem",
    "fit_frames",
    "fit_shared",
    "head_points",
]

_CHUNK = 64
_HALVINGS = 4
_TURN_STEP = 1e-3
_EFFECTIVE_FRAMES = 4.0
"""The network errs alike in every frame of a person, so many frames count as few."""
_SPREAD_LIMIT = 0.03


@dataclass(frozen=True)
class PoseConfig:
    """Settings of the fit."""

    key_frames: int = 80
    """Frames from which focal length and identity are found."""
    iterations: int = 25
    """Most Gauss-Newton steps of the joint fit."""
    point_noise: float = 0.006
    """Standard deviation of a landmark, as a part of the face's width."""
    expression_sigma: float = 0.3
    """Prior standard deviation of expression weights."""
    focal_sigma: float = 0.15
    """Prior standard deviation of the logarithm of the focal length."""
    huber: float = 2.0
    """Residuals beyond this many standard deviations count linearly."""


@dataclass(frozen=True)
class FitState:
    """The unknowns."""

    log_focal: float
    """Logarithm of the focal length in pixels."""
    identity: Float[np.ndarray, " modes"]
    """Identity weights."""
    rotation: Float[np.ndarray, "frames 3 3"]
    """Head frame to camera axes."""
    translation: Float[np.ndarray, "frames 3"]
    """Origin of the head frame in camera axes, world units."""
    expression: Float[np.ndarray, "frames 53"]
    """Expression weights."""

    def part(self, frames: slice) -> "FitState":
        """Return the state of some of the frames."""
        return replace(
            self,
            rotation=self.rotation[frames],
            translation=self.translation[frames],
            expression=self.expression[frames],
        )

    def mean_size(self) -> float:
        """Return the mean size of the head in the picture, pixels per world unit."""
        return float((np.exp(self.log_focal) / self.translation[:, 2]).mean())

    def moved(
        self, step: Float[np.ndarray, "frames 59"], focal_step: float = 0.0
    ) -> "FitState":
        """Return the state after a step of the frames' unknowns and the focal."""
        turn = Rotation.from_rotvec(step[:, :3]).as_matrix()
        focal, depth = np.exp(self.log_focal), self.translation[:, 2:]
        size = focal / depth * np.exp(step[:, 5:6])
        place = self.translation[:, :2] / depth * focal + step[:, 3:5]
        new_focal = focal * np.exp(focal_step)
        return replace(
            self,
            log_focal=self.log_focal + focal_step,
            rotation=turn @ self.rotation,
            translation=np.concatenate([place / size, new_focal / size], -1),
            expression=np.clip(self.expression + step[:, 6:], 0, 1),
        )


def head_points(
    shape: FaceShape,
    identity: Float[np.ndarray, " modes"],
    expression: Float[np.ndarray, "frames 53"],
) -> Float[np.ndarray, "frames 478 3"]:
    """Return the landmarks in the head frame."""
    neutral = shape.mean + np.tensordot(identity, shape.identity, 1)
    moved = expression.astype(np.float32) @ shape.expression.reshape(53, -1)
    return neutral + moved.reshape(-1, 478, 3)


class Problem:
    """Landmarks to be explained; evaluates in single precision."""

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
        self._modes = np.ascontiguousarray(modes.transpose(1, 2, 0))
        width = np.linalg.norm(points[:, 454] - points[:, 234], axis=-1)
        unit = float(np.linalg.norm(shape.mean[454] - shape.mean[234]))
        spread = np.minimum(shape.spread, _SPREAD_LIMIT) / unit
        noise = np.sqrt(config.point_noise**2 + spread**2)
        self._sigma = (float(np.median(width)) * noise).astype(np.float32)

    def part(self, frames: slice) -> "Problem":
        """Return the problem of some of the frames."""
        other = object.__new__(Problem)
        other.__dict__.update(self.__dict__, points=self.points[frames])
        return other

    def cost(self, state: FitState) -> Float[np.ndarray, " frames"]:
        """Return the Huber cost and the expression prior of each frame."""
        _, residual = self._project(state, self._slide(state.rotation, state))
        size = np.linalg.norm(residual, axis=-1) / self._sigma
        limit = self.config.huber
        huber = np.where(size < limit, size**2, 2 * limit * size - limit**2)
        prior = (state.expression / self.config.expression_sigma) ** 2
        cost = huber.sum(-1, dtype=np.float64) + prior.sum(-1)
        return np.where(state.translation[:, 2] > 0, cost, np.inf)

    def _slide(
        self, rotation: np.ndarray, state: FitState
    ) -> Float[np.ndarray, "frames 478 2"]:
        """Return how far the points slide in this view, pixels."""
        scale = np.exp(state.log_focal) / state.translation[:, 2]
        slide = view_slide(self.shape.slide, rotation) * scale[:, None, None]
        return slide.astype(np.float32)

    def _slide_slope(
        self, state: FitState, slide: np.ndarray
    ) -> Float[np.ndarray, "frames 478 2 6"]:
        """Return the derivative of the slide by turn (by differences) and size."""
        columns = []
        for axis in np.eye(3):
            turn = Rotation.from_rotvec(_TURN_STEP * axis).as_matrix()
            turned = self._slide(turn @ state.rotation, state)
            columns.append((turned - slide) / np.float32(_TURN_STEP))
        zero = np.zeros_like(slide)
        return np.stack([*columns, zero, zero, slide], -1)

    def _project(
        self, state: FitState, slide: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the points turned about the head's origin, and pixel residuals."""
        focal = np.float32(np.exp(state.log_focal))
        rotation = state.rotation.astype(np.float32)
        head = head_points(self.shape, state.identity, state.expression)
        turned = head.astype(np.float32) @ rotation.transpose(0, 2, 1)
        seen = turned + state.translation[:, None].astype(np.float32)
        flat = seen[..., :2] / seen[..., 2:] * focal
        return turned, flat + slide - self.points

    def linearise(self, state: FitState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weighted residuals and Jacobians of the frames and shared unknowns."""
        slide = self._slide(state.rotation, state)
        turned, residual = self._project(state, slide)
        weight = self._weights(residual)
        focal = np.float32(np.exp(state.log_focal))
        seen = turned + state.translation[:, None].astype(np.float32)
        depth = seen[..., 2]
        ratio = seen[..., :2] / depth[..., None]
        # Derivative of the projection by the seen point: 2 x 3 per landmark.
        slope = np.zeros((*depth.shape, 2, 3), np.float32)
        slope[..., 0, 0] = slope[..., 1, 1] = focal / depth
        slope[..., :, 2] = -ratio * (focal / depth)[..., None]
        slope *= weight[..., None, None]
        x, y, z = np.moveaxis(turned, -1, 0)
        zero = np.zeros_like(x)
        cross = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1)
        by_rotation = slope @ cross.reshape(*x.shape, 3, 3)
        rotation = state.rotation[:, None].astype(np.float32)
        by_modes = self._by_modes(slope @ rotation)
        # The shift is (place / size, focal / size), size = focal / depth of the origin.
        shift = state.translation[:, None].astype(np.float32)
        size = focal / shift[..., 2:]
        by_place = slope[..., :2] / size[..., None]
        by_size = -(slope @ shift[..., None])
        by_focal = (ratio * focal * weight[..., None])[..., None]
        by_focal = by_focal + slope[..., 2:] * shift[..., 2:, None]
        split = len(self.shape.expression)
        by_pose = np.concatenate([by_rotation, by_place, by_size], -1)
        by_pose += self._slide_slope(state, slide) * weight[..., None, None]
        frame = np.concatenate([by_pose, by_modes[..., :split]], -1)
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
        product = (per_point @ self._modes).reshape(478, count, 2, -1)
        return product.transpose(1, 0, 2, 3)

    def _weights(self, residual: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(residual, axis=-1) / self._sigma
        huber = np.minimum(1.0, self.config.huber / np.maximum(size, 1e-9))
        return np.sqrt(huber) / self._sigma

    def frame_system(
        self, state: FitState, residual: np.ndarray, jacobian: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each frame's normal equations and which unknowns may move.

        The expression prior is included. A weight at its bound that would leave it is
        held.
        """
        transposed = jacobian.transpose(0, 2, 1)
        matrix = (transposed @ jacobian).astype(np.float64)
        vector = (transposed @ residual[..., None])[..., 0].astype(np.float64)
        diagonal = np.arange(6, matrix.shape[-1])
        matrix[:, diagonal, diagonal] += 1 / self.config.expression_sigma**2
        vector[:, 6:] += state.expression / self.config.expression_sigma**2
        free = np.ones_like(vector, dtype=bool)
        low = (state.expression <= 0) & (vector[:, 6:] > 0)
        high = (state.expression >= 1) & (vector[:, 6:] < 0)
        free[:, 6:] = ~(low | high)
        return matrix, vector, free


def _solve_free(matrix: np.ndarray, sides: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Solve for the free unknowns of each frame; the others are 0."""
    both = free[:, :, None] & free[:, None, :]
    matrix = np.where(both, matrix, np.eye(matrix.shape[-1]))
    return np.linalg.solve(matrix, np.where(free[..., None], sides, 0.0))


def fit_shared(problem: Problem, state: FitState, prior_log_focal: float) -> FitState:
    """Fit focal length and identity together with all given frames.

    The frames' unknowns are eliminated by a Schur complement.
    """
    count, modes = len(problem.points), len(state.identity)
    weight = min(1.0, _EFFECTIVE_FRAMES / count)
    prior = np.append(np.ones(modes), 1 / problem.config.focal_sigma**2)

    def total(state: FitState) -> float:
        offset = np.append(state.identity, state.log_focal - prior_log_focal)
        return weight * float(problem.cost(state).sum()) + float(prior @ offset**2)

    cost = total(state)
    for _ in range(problem.config.iterations):
        residual, frame, shared = problem.linearise(state)
        matrix, vector, free = problem.frame_system(state, residual, frame)
        mixed = frame.transpose(0, 2, 1) @ shared
        sides = np.concatenate([mixed, vector[..., None]], -1)
        solved = _solve_free(matrix, sides, free)
        flat = shared.reshape(-1, modes + 1)
        ours = (flat.T @ flat).astype(np.float64)
        ours_vector = (flat.T @ residual.ravel()).astype(np.float64)
        offset = np.append(state.identity, state.log_focal - prior_log_focal)
        left = ours - np.einsum("fij,fik->jk", mixed, solved[..., :-1])
        right = ours_vector - np.einsum("fij,fi->j", mixed, solved[..., -1])
        step = -np.linalg.solve(
            weight * left + np.diag(prior), weight * right + prior * offset
        )
        frame_step = -(solved[..., -1] + solved[..., :-1] @ step)
        for halving in range(_HALVINGS):
            share = 0.5**halving
            trial = replace(
                state.moved(share * frame_step, share * float(step[modes])),
                identity=state.identity + share * step[:modes],
            )
            trial_cost = total(trial)
            if trial_cost < cost:
                break
        else:
            return state
        done = cost - trial_cost < 1e-5 * cost
        state, cost = trial, trial_cost
        if done:
            break
    return state


def fit_frames(
    problem: Problem, state: FitState, held: list[int], *, iterations: int = 6
) -> FitState:
    """Fit each frame with the shared unknowns, and those in ``held``, held."""
    parts = []
    for start in range(0, len(problem.points), _CHUNK):
        frames = slice(start, start + _CHUNK)
        parts.append(
            _fit_chunk(problem.part(frames), state.part(frames), held, iterations)
        )
    return replace(
        state,
        rotation=np.concatenate([part.rotation for part in parts]),
        translation=np.concatenate([part.translation for part in parts]),
        expression=np.concatenate([part.expression for part in parts]),
    )


def _fit_chunk(
    problem: Problem, state: FitState, held: list[int], iterations: int
) -> FitState:
    cost = problem.cost(state)
    for _ in range(iterations):
        residual, frame, _ = problem.linearise(state)
        matrix, vector, free = problem.frame_system(state, residual, frame)
        free[:, held] = False
        step = -_solve_free(matrix, vector[..., None], free)[..., 0]
        for _ in range(_HALVINGS):
            trial = state.moved(step)
            trial_cost = problem.cost(trial)
            worse = trial_cost > cost
            if not worse.any():
                break
            step = np.where(worse[:, None], step / 2, step)
        step = np.where((trial_cost > cost)[:, None], 0.0, step)
        state = state.moved(step)
        cost = np.minimum(cost, trial_cost)
    return state
