"""Brows: raised and drawn together, whatever the head does."""

import numpy as np
from tests.marked import marked

from talk3d.brows import brow_signals
from talk3d.camera import orbit_label
from talk3d.face import load_face_shape

ANGLES = np.linspace(-0.25, 0.25, 11)


def signals(faces: np.ndarray) -> np.ndarray:
    """Return the signals of faces seen by a camera that moves around them."""
    labels = [orbit_label(float(a), float(a) / 3) for a in ANGLES]
    return brow_signals(*marked(faces, labels))


def faces_with(name: str, strength: np.ndarray) -> np.ndarray:
    shape = load_face_shape()
    change = shape.expression[shape.expression_names.index(name)]
    return (shape.mean + strength[:, None, None] * change).astype(np.float32)


def test_a_turning_head_does_not_move_the_brows():
    still = signals(faces_with("browOuterUp_L", np.zeros(11)))
    raised = signals(faces_with("browOuterUp_L", np.r_[np.zeros(10), 1.0]))
    assert np.abs(still).max() < 0.3 * raised[-1, 0]


def test_one_brow_is_one_number():
    strength = 0.5 + 0.5 * np.sin(np.arange(11.0))
    found = signals(faces_with("browOuterUp_L", strength))
    assert np.corrcoef(found[:, 0], strength)[0, 1] > 0.98
    assert np.ptp(found[:, 1]) < 0.3 * np.ptp(found[:, 0])


def test_a_frown_draws_the_brows_together():
    strength = np.r_[np.zeros(6), np.ones(5)]
    both = faces_with("browDown_L", strength) + faces_with("browDown_R", strength)
    found = signals((both - load_face_shape().mean).astype(np.float32))
    assert found[8, 2] < found[2, 2]
    assert found[8, :2].max() < found[2, :2].min()
