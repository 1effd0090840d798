"""Bundle adjustment on exact sightings: poses and points come back."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talk3d.preprocess.bundle import (
    Sightings,
    adjust_poses,
    residuals,
    solve_structure,
)
from talk3d.preprocess.pose import HeadTrack

FRAMES, POINTS = 40, 60


def scene(seed: int) -> tuple[HeadTrack, np.ndarray]:
    """Return a head that turns before the camera, and points on it."""
    rng = np.random.default_rng(seed)
    upright = Rotation.from_euler("x", np.pi)
    turns = Rotation.from_rotvec(rng.normal(0, 0.15, (FRAMES, 3))) * upright
    shift = np.array([0.0, 0.0, 2.7]) + rng.normal(0, 0.03, (FRAMES, 3))
    track = HeadTrack(
        1100.0,
        (128.0, 120.0),
        np.zeros(20),
        turns.as_matrix(),
        shift,
        np.zeros((FRAMES, 53)),
    )
    points = rng.uniform([-0.2, -0.1, 0.0], [0.2, 0.25, 0.3], (POINTS, 3))
    return track, points


def sighted(track: HeadTrack, points: np.ndarray) -> Sightings:
    empty = Sightings(
        np.zeros((FRAMES, POINTS, 2)),
        np.ones((FRAMES, POINTS), bool),
        points,
        np.full((POINTS, 3), 0.03),
        np.full(POINTS, 0.2),
    )
    gap, _, _ = residuals(track, empty, points)
    return replace(empty, places=gap)


def disturbed(track: HeadTrack, rng: np.random.Generator) -> HeadTrack:
    turn = Rotation.from_rotvec(rng.normal(0, 0.02, (FRAMES, 3))).as_matrix()
    shift = track.translation + rng.normal(0, 0.008, (FRAMES, 3))
    return replace(track, rotation=turn @ track.rotation, translation=shift)


def turn_error(track: HeadTrack, truth: HeadTrack) -> float:
    """Return the spread of the turns' error, radians; a constant one is free."""
    relative = truth.rotation.transpose(0, 2, 1) @ track.rotation
    error = Rotation.from_matrix(relative).as_rotvec()
    return float((error - error.mean(0)).std())


def test_slopes_are_those_of_differences():
    track, points = scene(0)
    sightings = sighted(track, points)
    _, by_pose, by_point = residuals(track, sightings, points)
    step = 1e-6
    for axis in range(3):
        turn = Rotation.from_rotvec(step * np.eye(3)[axis]).as_matrix()
        turned = replace(track, rotation=turn @ track.rotation)
        moved = replace(track, translation=track.translation + step * np.eye(3)[axis])
        pushed = points + step * np.eye(3)[axis]
        by_turn = residuals(turned, sightings, points)[0] / step
        by_shift = residuals(moved, sightings, points)[0] / step
        by_push = residuals(track, sightings, pushed)[0] / step
        # Second derivatives are below 1e4 pixels: 1e-6 of step leaves 1e-2.
        assert by_turn == pytest.approx(by_pose[..., axis], abs=0.02)
        assert by_shift == pytest.approx(by_pose[..., 3 + axis], abs=0.02)
        assert by_push == pytest.approx(by_point[..., axis], abs=0.02)


def test_disturbed_poses_and_points_come_back():
    truth, points = scene(1)
    rng = np.random.default_rng(2)
    guess = points + rng.normal(0, 0.02, points.shape)
    sightings = replace(sighted(truth, points), points=guess)
    start = disturbed(truth, rng)
    track, found, noise = solve_structure(start, sightings)
    assert turn_error(track, truth) < 0.03 * turn_error(start, truth)
    gap, _, _ = residuals(track, sightings, found)
    assert np.abs(gap).max() < 0.05
    assert noise == pytest.approx(0.1)


def test_wrong_sightings_are_outvoted():
    truth, points = scene(3)
    rng = np.random.default_rng(4)
    sightings = sighted(truth, points)
    wrong = rng.random(sightings.seen.shape) < 0.1
    places = sightings.places + wrong[..., None] * rng.normal(0, 8, (2,))
    start = disturbed(truth, rng)
    track = adjust_poses(start, replace(sightings, places=places), points, steps=15)
    # The prior holds the poses a little toward the start; the wrong ones pull a little.
    assert turn_error(track, truth) < 0.1 * turn_error(start, truth)


def test_unseen_frames_keep_their_pose():
    truth, points = scene(5)
    start = disturbed(truth, np.random.default_rng(6))
    sightings = sighted(truth, points)
    sightings.seen[7] = False
    track = adjust_poses(start, sightings, points)
    assert track.rotation[7] == pytest.approx(start.rotation[7])
    assert track.translation[7] == pytest.approx(start.translation[7])


def test_a_point_that_moves_by_itself_counts_less():
    truth, points = scene(7)
    rng = np.random.default_rng(8)
    sightings = sighted(truth, points)
    sightings.places[:, 0] += rng.normal(0, 1.5, (FRAMES, 2))
    _, _, noise = solve_structure(truth, sightings)
    assert noise[0] > 5 * np.median(noise[1:])
