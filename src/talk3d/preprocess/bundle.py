"""Bundle adjustment: head poses and points of the head from tracked pictures of them.

Comes in: a ``HeadTrack`` near the truth, where points of the head are seen in each
frame, and a first guess of where they are in the head. Goes out: the track with
refined poses. Unknowns: per frame a turn and a shift (camera axes), per point its
place in the head frame. Residuals are pixels with Cauchy weights; poses and points are
held by Gaussian priors at their first guess. Each step eliminates the poses (Schur
complement), so it costs one dense solve in the points.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from talk3d.preprocess.pose import HeadTrack

__all__ = ["Sightings", "adjust_poses", "solve_structure"]

_POSE_SIGMA = np.array([0.05, 0.05, 0.03, 0.03, 0.03, 0.06])
"""Standard deviation of the first poses: turn (radians), shift (world units)."""
_CHUNK = 100


@dataclass(frozen=True)
class Sightings:
    """Where points of the head are seen."""

    places: Float[np.ndarray, "frames points 2"]
    """Frame pixels; anything where not seen."""
    seen: Bool[np.ndarray, "frames points"]
    """Whether the point was found in the frame."""
    points: Float[np.ndarray, "points 3"]
    """First guess, head frame."""
    spread: Float[np.ndarray, "points 3"]
    """Standard deviation of the guess along the head's axes, world units."""
    noise: Float[np.ndarray, " points"]
    """Standard deviation of a sighting, pixels."""

    def part(self, frames: slice | np.ndarray) -> "Sightings":
        """Return the sightings of some frames."""
        return replace(self, places=self.places[frames], seen=self.seen[frames])


def _part(track: HeadTrack, frames: slice | np.ndarray) -> HeadTrack:
    return replace(
        track,
        rotation=track.rotation[frames],
        translation=track.translation[frames],
        expression=track.expression[frames],
    )


def _moved(track: HeadTrack, step: Float[np.ndarray, "frames 6"]) -> HeadTrack:
    turn = Rotation.from_rotvec(step[:, :3]).as_matrix()
    return replace(
        track,
        rotation=turn @ track.rotation,
        translation=track.translation + step[:, 3:],
    )


def _away(track: HeadTrack, first: HeadTrack) -> Float[np.ndarray, "frames 6"]:
    """Return how far the poses are from the first guess."""
    turn = track.rotation @ first.rotation.transpose(0, 2, 1)
    return np.concatenate(
        [
            Rotation.from_matrix(turn).as_rotvec(),
            track.translation - first.translation,
        ],
        -1,
    )


def residuals(
    track: HeadTrack, sightings: Sightings, points: Float[np.ndarray, "points 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixel residuals and their slopes by pose (6) and by point (3)."""
    turned = np.einsum("fij,nj->fni", track.rotation, points)
    seen = turned + track.translation[:, None]
    ratio = seen[..., :2] / seen[..., 2:]
    gap = ratio * track.focal + np.array(track.centre) - sightings.places
    slope = np.zeros((*ratio.shape[:2], 2, 3))
    slope[..., 0, 0] = slope[..., 1, 1] = track.focal / seen[..., 2]
    slope[..., :, 2] = -ratio * (track.focal / seen[..., 2])[..., None]
    x, y, z = np.moveaxis(turned, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1)
    by_turn = slope @ cross.reshape(*x.shape, 3, 3)
    by_point = slope @ track.rotation[:, None]
    return gap, np.concatenate([by_turn, slope], -1), by_point


def _weights(gap: np.ndarray, sightings: Sightings) -> np.ndarray:
    """Return Cauchy weights / variance; 0 where a point is not seen."""
    size = np.linalg.norm(gap, axis=-1) / (2.5 * sightings.noise)
    return np.where(sightings.seen, 1 / (1 + size**2) / sightings.noise**2, 0.0)


def _pose_systems(
    gap: np.ndarray, by_pose: np.ndarray, weight: np.ndarray, away: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    weighted = by_pose * weight[..., None, None]
    matrix = np.einsum("fnki,fnkj->fij", weighted, by_pose, optimize=True)
    vector = np.einsum("fnki,fnk->fi", weighted, gap, optimize=True)
    prior = _POSE_SIGMA**-2
    return matrix + np.diag(prior), vector + prior * away


def solve_structure(
    track: HeadTrack, sightings: Sightings, *, steps: int = 8
) -> tuple[HeadTrack, Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
    """Solve poses and points together.

    Returns:
        The refined track, the points, and each point's noise (pixels): what its
        sightings still miss, large for skin that moves.
    """
    first, points = track, sightings.points
    for step in range(steps):
        system = _joint_system(track, first, sightings, points)
        change, pose_step = _solve_joint(*system)
        points = points + change
        track = _moved(track, pose_step)
        if step >= 2:
            noise = _point_noise(track, sightings, points)
            sightings = replace(sightings, noise=noise)
    return track, points, sightings.noise


def _point_noise(
    track: HeadTrack, sightings: Sightings, points: np.ndarray
) -> Float[np.ndarray, " points"]:
    """Return the robust size of each point's residuals, at least a tenth of a pixel."""
    gap, _, _ = residuals(track, sightings, points)
    size = np.where(sightings.seen, np.linalg.norm(gap, axis=-1), np.nan)
    few = sightings.seen.sum(0) < 5
    size[:, few] = 10.0
    return np.clip(np.nanmedian(size, axis=0) / 1.18, 0.1, 10.0)


def _joint_system(
    track: HeadTrack, first: HeadTrack, sightings: Sightings, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return the points' reduced system, and what gives the poses back."""
    count = len(points)
    prior = sightings.spread**-2
    blocks = np.zeros((count, 3, 3))
    blocks[:, range(3), range(3)] = prior
    vector = (prior * (points - sightings.points)).ravel()
    reduced = np.zeros((3 * count, 3 * count))
    back = []
    for start in range(0, len(track.rotation), _CHUNK):
        frames = slice(start, start + _CHUNK)
        now, part = _part(track, frames), sightings.part(frames)
        gap, by_pose, by_point = residuals(now, part, points)
        weight = _weights(gap, part)
        away = _away(now, _part(first, frames))
        ours, ours_vector = _pose_systems(gap, by_pose, weight, away)
        weighted = by_point * weight[..., None, None]
        blocks += np.einsum("fnki,fnkj->nij", weighted, by_point, optimize=True)
        vector += np.einsum("fnki,fnk->ni", weighted, gap, optimize=True).ravel()
        mixed = np.einsum("fnki,fnkj->finj", by_pose, weighted, optimize=True)
        mixed = mixed.reshape(len(gap), 6, 3 * count)
        lower = np.linalg.cholesky(ours)
        half = np.linalg.solve(lower, mixed)
        half_vector = np.linalg.solve(lower, ours_vector[..., None])
        flat = half.reshape(-1, 3 * count)
        reduced -= flat.T @ flat
        vector -= flat.T @ half_vector.ravel()
        back.append((lower, half, half_vector))
    for index in range(count):
        rows = slice(3 * index, 3 * index + 3)
        reduced[rows, rows] += blocks[index]
    return reduced, vector, back


def _solve_joint(
    reduced: np.ndarray,
    vector: np.ndarray,
    back: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    change = -np.linalg.solve(reduced, vector)
    steps = []
    for lower, half, half_vector in back:
        right = half_vector + half @ change[None, :, None]
        steps.append(-np.linalg.solve(lower.transpose(0, 2, 1), right)[..., 0])
    return change.reshape(-1, 3), np.concatenate(steps)


def adjust_poses(
    track: HeadTrack,
    sightings: Sightings,
    points: Float[np.ndarray, "points 3"],
    *,
    steps: int = 6,
) -> HeadTrack:
    """Solve the pose of each frame with the points held."""
    parts = []
    for start in range(0, len(track.rotation), _CHUNK):
        frames = slice(start, start + _CHUNK)
        first = now = _part(track, frames)
        part = sightings.part(frames)
        for _ in range(steps):
            gap, by_pose, _ = residuals(now, part, points)
            weight = _weights(gap, part)
            matrix, vector = _pose_systems(gap, by_pose, weight, _away(now, first))
            now = _moved(now, -np.linalg.solve(matrix, vector[..., None])[..., 0])
        parts.append(now)
    return replace(
        track,
        rotation=np.concatenate([part.rotation for part in parts]),
        translation=np.concatenate([part.translation for part in parts]),
    )
