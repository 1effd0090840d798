"""Landmark metrics on faces whose numbers are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talk3d.evaluate import points
from talk3d.evaluate.regions import LIPS_INNER, LIPS_OUTER
from talk3d.face import LEFT_EYE, RIGHT_EYE

UPPER, LOWER = [81, 82, 13, 312, 311], [178, 87, 14, 317, 402]


def _faces(frames: int = 12, seed: int = 0) -> np.ndarray:
    """Random points with the outer eye corners 80 px apart and a level eye line."""
    rng = np.random.default_rng(seed)
    track = 100 + 20 * rng.random((frames, 478, 2))
    track[:, 33], track[:, 263] = (60, 100), (140, 100)
    return track


def _with_gap(gap: np.ndarray) -> np.ndarray:
    track = _faces(len(gap))
    track[:, UPPER] = np.array([100.0, 150.0])
    track[:, LOWER] = np.stack([np.full(len(gap), 100.0), 150 + gap], -1)[:, None]
    return track


def test_there_are_forty_lip_points_and_none_twice():
    assert len(set(LIPS_OUTER + LIPS_INNER)) == 40


def test_the_scale_is_the_frontal_width_not_that_of_a_turned_head():
    track = _faces(100)
    track[40:, 263, 0] = 100
    assert points.face_scale(track) == pytest.approx(80)


def test_lip_distance_of_a_moved_mouth_is_zero_and_of_a_wider_one_is_known():
    truth = _faces()
    moved = truth + np.array([7.0, -3.0])
    assert points.lip_distance(moved, truth, scale=80.0) == pytest.approx(0, abs=1e-9)
    wider = truth.copy()
    lips = list(LIPS_OUTER + LIPS_INNER)
    spread = np.where(np.arange(40) % 2, 4.0, -4.0)
    wider[:, lips, 0] += spread
    assert points.lip_distance_px(wider, truth) == pytest.approx(4.0)
    assert points.lip_distance(wider, truth, scale=80.0) == pytest.approx(5.0)


def test_lip_gap_is_the_opening_over_the_eye_distance():
    gap = np.array([0.0, 4.0, 16.0])
    assert points.lip_gap(_with_gap(gap), scale=80.0) == pytest.approx([0, 0.05, 0.2])


@given(st.floats(-1.0, 1.0), st.floats(0.3, 3.0))
def test_lip_gap_does_not_change_with_roll_and_goes_with_scale(roll, scale):
    track = _with_gap(np.array([3.0, 9.0]))
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    turned = scale * track @ turn.T
    own = points.lip_gap(turned, scale=80.0 * scale)
    assert own == pytest.approx(points.lip_gap(track, scale=80.0))


def test_crossed_lips_are_shut_not_negative():
    assert points.lip_gap(_with_gap(np.array([-5.0])), scale=80.0)[0] == 0.0


def test_closure_counts_frames_that_disagree_above_the_persons_own_floor():
    truth = np.array([0.03] * 50 + [0.2] * 50)
    assert points.shut_gap(truth) == pytest.approx(0.03)
    assert points.closed(truth, shut=0.03).sum() == 50
    result = truth.copy()
    result[:10] = 0.1
    result[60] = np.nan
    assert points.closure_error(result, truth) == pytest.approx(10 / 99)
    assert np.isnan(points.closure_error(np.full(100, np.nan), truth))


def test_eye_opening_is_height_over_width_left_first():
    track = _faces(2)
    for eye, height in ((LEFT_EYE, 6.0), (RIGHT_EYE, 3.0)):
        track[:, eye[0]], track[:, eye[8]] = (0, 50), (30, 50)
        track[:, eye[2:7]] = np.array([15.0, 50 + height / 2])
        track[:, eye[10:15]] = np.array([15.0, 50 - height / 2])
    assert points.eye_opening(track) == pytest.approx(np.array([[0.2, 0.1]] * 2))


def test_jitter_of_even_motion_is_zero_and_of_doubled_shaking_is_two():
    rng = np.random.default_rng(1)
    still = np.tile(_faces(1), (30, 1, 1))
    noise = rng.standard_normal(still.shape)
    even = still + np.arange(30)[:, None, None]
    assert points.jitter(even, still + noise) == pytest.approx(0, abs=1e-9)
    assert points.jitter(even + 2 * noise, still + noise) == pytest.approx(2)


def test_lost_frames_are_left_out_of_jitter():
    rng = np.random.default_rng(1)
    truth = _faces(1) + rng.standard_normal((30, 478, 2))
    result = truth.copy()
    result[10] = np.nan
    assert np.isfinite(points.jitter(result, truth))
