"""Cuts: a new shot is told by the picture's change and what the face does at it."""

import numpy as np
import pytest

from talk3d.preprocess.span import find_cuts
from talk3d.preprocess.track import Recording

COUNT, CUT = 200, 120
MIDDLE = np.array([320.0, 240.0])


def shot(*, zoom: float = 1.0, change: float = 0.08, shift: float = 0.0, turn: int = 1):
    """Return the recording of a face 150 pixels wide, and its points.

    At frame 120 the picture changes by ``change``, the face grows by ``zoom`` and jumps
    by ``shift`` (face widths), over ``turn`` frames.
    """
    rng = np.random.default_rng(0)
    face = rng.uniform(-75, 75, (478, 2))
    face[[234, 454]] = (-75, 0), (75, 0)
    part = np.clip((np.arange(COUNT) - CUT + 1) / turn, 0, 1)
    size = zoom**part
    middle = MIDDLE + 150 * shift * part[:, None] * [1, 0]
    points = middle[:, None] + face * size[:, None, None]
    points = (points + rng.normal(0, 0.3, points.shape)).astype(np.float32)
    changes = rng.uniform(0.003, 0.007, COUNT)
    changes[CUT : CUT + turn] = change
    even = np.full(COUNT, 0.5, np.float32)
    recording = Recording(
        points[None],
        even,
        even,
        even,
        changes.astype(np.float32),
        np.zeros((COUNT, 2), np.float32),
        np.zeros((COUNT, 3), np.float32),
    )
    return recording, points


@pytest.mark.parametrize("zoom", [1.08, 1.2, 1.3, 1 / 1.08, 1 / 1.3])
def test_a_punch_in_about_the_face_is_a_cut(zoom):
    assert find_cuts(*shot(zoom=zoom)).tolist() == [CUT]


def test_a_jump_is_a_cut():
    assert find_cuts(*shot(shift=0.3)).tolist() == [CUT]


def test_a_flash_is_no_cut():
    assert find_cuts(*shot()).tolist() == []


def test_leaning_in_is_no_cut():
    assert find_cuts(*shot(zoom=1.3, change=0.02, turn=10)).tolist() == []


def test_a_sudden_change_of_size_alone_is_no_cut():
    assert find_cuts(*shot(zoom=1.2, change=0.02)).tolist() == []
