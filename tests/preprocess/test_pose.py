"""The error of a solved head: the closed form, in memory that does not grow."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talk3d.face import load_face_shape
from talk3d.preprocess import pose
from talk3d.preprocess.fit import head_points
from talk3d.preprocess.pose import HeadTrack, landmark_error, project_points
from talk3d.slide import view_slide

SHAPE = load_face_shape()
NOISE, BIAS = 0.5, 1.5


def seen(count: int) -> tuple[np.ndarray, HeadTrack]:
    """Return a turning head and its landmarks with noise and a shift, pixels."""
    rng = np.random.default_rng(0)
    turns = np.stack([np.pi + 0 * np.arange(count), 0.2 * rng.normal(size=count)], 1)
    track = HeadTrack(
        1200.0,
        (320.0, 240.0),
        np.zeros(len(SHAPE.identity)),
        Rotation.from_euler("XY", turns).as_matrix(),
        np.tile([0.0, 0.0, 2.7], (count, 1)),
        rng.uniform(0, 0.3, (count, 53)),
    )
    head = head_points(SHAPE, track.identity, track.expression)
    slide = view_slide(SHAPE.slide, track.rotation) * 1200 / 2.7
    points = project_points(head, track) + slide + [BIAS, 0.0]
    return points + rng.normal(0, NOISE, points.shape), track


@pytest.mark.parametrize("count", [300, 2300])
def test_the_error_is_that_of_noise_and_shift(count):
    points, track = seen(count)
    valid = np.ones(count, bool)
    valid[100:110] = False
    points[100:110] += 50
    whole, varying = landmark_error(points, valid, track, SHAPE)
    # 290 x 478 values a side or more: a relative deviation of 0.2 %.
    assert whole == pytest.approx(np.sqrt(2 * NOISE**2 + BIAS**2), rel=0.01)
    assert varying == pytest.approx(np.sqrt(2) * NOISE, rel=0.01)


def test_the_error_of_a_long_video_takes_no_more_memory(monkeypatch):
    monkeypatch.setattr(pose, "_ERROR_FRAMES", 50)

    def peak(count: int) -> int:
        points, track = seen(count)
        tracemalloc.start()
        landmark_error(points, np.ones(count, bool), track, SHAPE)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # The list of valid frames is all that grows.
    assert peak(1600) < 1.1 * peak(100)
