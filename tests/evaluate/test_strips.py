"""Sheets hold the right pictures at the right places."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from talk3d.evaluate import strips
from talk3d.evaluate.regions import Box


def _flat(value: int, size: int = 32) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def test_frames_are_picked_evenly_from_the_middles():
    assert strips.pick_evenly(range(100, 200), 4) == [112, 137, 162, 187]
    assert strips.pick_evenly(range(3), 10) == [0, 1, 2]


def test_talking_frames_go_from_shut_to_open_and_skip_unknown_ones():
    gap = np.array([0.3, np.nan, 0.0, 0.1, 0.2])
    assert strips.pick_talking(gap, 2) == [2, 0]
    assert strips.pick_talking(gap, 9) == [2, 3, 4, 0]


def test_a_sheet_shows_each_row_in_order():
    sheet = strips.contact_sheet(
        {"truth": [_flat(10), _flat(60)], "result": [_flat(110), _flat(160)]}, height=32
    )
    tiles = sheet[16::36, -52::36][:, :, 0]
    assert tiles.tolist() == [[10, 60], [110, 160]]


def test_a_strip_cuts_every_moment_with_its_own_box(tmp_path):
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32, :32], frame[32:, 32:] = 200, 90
    boxes = [Box(0, 0, 32, 32), Box(32, 32, 64, 64)]
    out = tmp_path / "new" / "strip.png"
    sheet = strips.frame_strip({"a": [frame, frame]}, boxes, out, height=32)
    assert sheet[16, [-52, -20], 0].tolist() == [200, 90]
    assert np.array_equal(np.asarray(Image.open(out)), sheet)


def test_column_labels_make_room_above():
    plain = strips.contact_sheet({"a": [_flat(0)]}, height=32)
    labelled = strips.contact_sheet({"a": [_flat(0)]}, columns=["0.5 s"], height=32)
    assert labelled.shape[0] > plain.shape[0]
    assert (labelled[: labelled.shape[0] - plain.shape[0]] < 128).any()


def test_face_strips_are_three_pictures(tmp_path):
    rng = np.random.default_rng(0)
    points = (0.4 + 0.2 * rng.random((2, 478, 2))).astype(np.float32)
    paths = strips.face_strips({"a": [_flat(5, 64)] * 2}, points, tmp_path)
    assert [path.name for path in paths] == ["mouths.png", "eyes.png", "frames.png"]
    assert all(path.exists() for path in paths)


def test_an_empty_row_is_refused():
    with pytest.raises(ValueError, match="at least one picture in each row"):
        strips.contact_sheet({"a": []})
