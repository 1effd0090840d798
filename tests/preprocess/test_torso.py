"""The torso's registration and the neck's motion against a moving torso."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talk3d.face import FaceNets
from talk3d.preprocess.pose import HeadTrack
from talk3d.preprocess.torso import (
    TorsoView,
    TorsoWatch,
    neck_motions,
    register,
    torso_motions,
)

ROWS, COLUMNS = 90, 200


def cloth(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(ROWS + 60, COLUMNS + 60)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return 0.5 + 0.1 * smooth / smooth.std()


def moved(big: np.ndarray, motion: tuple[float, float, float, float]) -> np.ndarray:
    """Show the cloth moved about the window's middle: shift, log scale, roll."""
    right, down, log_scale, roll = motion
    middle = ((COLUMNS - 1) / 2 + 30, (ROWS - 1) / 2 + 30)
    # OpenCV turns counter-clockwise for positive angles.
    matrix = cv2.getRotationMatrix2D(middle, -np.degrees(roll), np.exp(log_scale))
    matrix[:, 2] += [right, down]
    size = (big.shape[1], big.shape[0])
    return cv2.warpAffine(big, matrix, size, flags=cv2.INTER_CUBIC)[30:-30, 30:-30]


@pytest.mark.parametrize(
    "motion", [(0.0, 0.0, 0.0, 0.0), (4.0, -2.5, 0.0, 0.0), (-1.3, 0.7, 0.02, -0.03)]
)
def test_registration_finds_shift_scale_and_roll(motion):
    big = cloth(0)
    worth = np.ones((ROWS, COLUMNS), np.float32)
    found = np.zeros(4)
    for blur in (6.0, 1.0):
        found = register(
            moved(big, (0.0, 0.0, 0.0, 0.0)),
            moved(big, motion),
            worth,
            found,
            blur=blur,
            steps=12,
        )
    # A twentieth of a pixel at the middle, a tenth at the window's ends.
    assert found[:2] == pytest.approx(motion[:2], abs=0.05)
    assert found[2:] == pytest.approx(motion[2:], abs=0.001)


def test_what_moves_otherwise_is_outvoted():
    big = cloth(0)
    still = moved(big, (0.0, 0.0, 0.0, 0.0))
    now = moved(big, (2.0, 1.0, 0.0, 0.0))
    now[:30, :50] = still[:30, :50]
    worth = np.ones((ROWS, COLUMNS), np.float32)
    found = register(still, now, worth, np.zeros(4), blur=1.0, steps=15)
    assert found[:2] == pytest.approx([2.0, 1.0], abs=0.1)


def test_what_counts_more_wins():
    big = cloth(0)
    still = moved(big, (0.0, 0.0, 0.0, 0.0))
    now = moved(big, (2.0, 1.0, 0.0, 0.0))
    now[20:] = still[20:]
    worth = np.ones((ROWS, COLUMNS), np.float32)
    worth[20:] = 0.02
    found = register(still, now, worth, np.zeros(4), blur=1.0, steps=15)
    assert found[0] == pytest.approx(2.0, abs=0.2)


class Everybody(FaceNets):
    """Finds a person everywhere."""

    def __init__(self) -> None:
        """Load nothing."""

    def person_mask(self, image: np.ndarray) -> np.ndarray:
        return np.ones((64, 64), np.float32)


def test_a_torso_that_leans_for_long_is_not_taken_for_upright():
    """What the prior takes from a motion must not add up over the frames."""
    rng = np.random.default_rng(3)
    faint = 0.5 + 0.02 * (cloth(0) - 0.5)
    ones = np.ones((ROWS, COLUMNS), np.float32)
    watch = TorsoWatch(TorsoView(0, 0, COLUMNS, ROWS, 1.0, ones), Everybody())
    for frame in range(300):
        lean = 0.05 if frame >= 60 else 0.0
        shown = moved(faint, (0.0, 0.0, 0.0, lean))
        shown = shown + 0.01 * rng.normal(size=shown.shape)
        grey = np.clip(255 * shown, 0, 255).astype(np.uint8)
        watch.add(np.repeat(grey[..., None], 3, axis=2))
    lean = watch.finish()[:, 3]
    assert lean[90:110].mean() > 0.02
    assert lean[-20:].mean() > 0.7 * lean[90:110].mean()


def test_without_texture_nothing_moves():
    rng = np.random.default_rng(1)
    plain, now = (
        (0.4 + 0.002 * rng.normal(size=(ROWS, COLUMNS))).astype(np.float32)
        for _ in range(2)
    )
    worth = np.ones((ROWS, COLUMNS), np.float32)
    found = register(plain, now, worth, np.zeros(4), blur=1.0, steps=8)
    assert np.abs(found[:2]).max() < 0.3
    assert np.abs(found[2:]).max() < 0.005


def rigid(turn, shift) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    motion[:3, 3] = shift
    return motion


def test_neck_is_the_heads_motion_against_the_torso():
    """Head and torso each move in the room; their relative motion is known."""
    rng = np.random.default_rng(2)
    turns = rng.normal(0, 0.1, (30, 3))
    turns -= turns.mean(0)
    neck = np.stack([rigid(turn, 0.1 * turn) for turn in turns])
    body = np.stack([rigid([0, 0, 0.1 * a], [0.1 * b, 0, 0]) for a, b, _ in turns])
    room = rigid([np.pi, 0.0, 0.0], [0.0, 0.0, 2.7])
    pose = np.linalg.inv(room @ body @ neck)
    torso = room @ np.linalg.inv(room @ body)
    camera = np.concatenate([pose.reshape(-1, 16), np.zeros((30, 9))], 1)
    found = neck_motions(camera.astype(np.float32), torso)
    mean = found.astype(np.float64).mean(0)
    assert mean == pytest.approx(np.eye(4), abs=0.02)
    # Up to one constant motion: compare from frame to frame.
    expected = np.linalg.inv(neck[:-1]) @ neck[1:]
    steps = np.linalg.inv(found[:-1]) @ found[1:]
    assert steps == pytest.approx(expected, abs=1e-5)


def test_rigid_motion_is_what_the_picture_shows():
    track = HeadTrack(
        1000.0,
        (200.0, 150.0),
        np.zeros(2),
        np.tile(np.eye(3), (1, 1, 1)),
        np.array([[0.0, 0.0, 2.5]]),
        np.zeros((1, 53)),
    )
    view = TorsoView(100, 200, 240, 80, 0.5, np.ones((40, 120), np.float32))
    right, down, log_scale, roll = 7.0, -3.0, 0.04, 0.05
    motion = np.array([[right, down, log_scale, roll]])
    back = torso_motions(motion, view, track)[0]
    # Two pixels of the mean picture, as points of the torso plane.
    middle = np.array([220.0, 240.0])
    for offset in ([0.0, 0.0], [60.0, -20.0]):
        seen = (middle + offset - track.centre) / track.focal
        now = np.linalg.inv(back) @ np.append(np.append(seen, 1.0) * 2.5, 1.0)
        place = now[:2] / now[2] * track.focal + track.centre
        cos, sin = np.cos(roll), np.sin(roll)
        turned = np.exp(log_scale) * np.array([[cos, -sin], [sin, cos]]) @ offset
        assert place == pytest.approx(
            middle + np.array([right, down]) + turned, abs=1e-6
        )
