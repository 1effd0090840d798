"""Regions lie where the truth's landmarks and matte say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talk3d.evaluate import regions


def _face(mouth: tuple[float, float, float, float]) -> np.ndarray:
    """Landmarks in [0, 1] whose outer lips fill a rectangle x0, y0, x1, y1."""
    points = np.full((478, 2), 0.5, np.float32)
    corners = np.array([[mouth[0], mouth[1]], [mouth[2], mouth[3]]], np.float32)
    lips = list(regions.LIPS_OUTER)
    points[lips] = corners.mean(axis=0)
    points[lips[:2]] = corners
    return points


def test_the_mouth_box_is_thirty_percent_wider_about_its_centre():
    box = regions.mouth_box(_face((0.4, 0.6, 0.6, 0.7)), (1000, 1000))
    corners = np.array([box.left, box.top, box.right, box.bottom])
    # Float32 corners may push an outward rounding one pixel on.
    assert np.abs(corners - [370, 585, 630, 715]).max() <= 1


@given(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2), st.integers(16, 64))
def test_boxes_stay_inside_and_never_vanish(x, y, side):
    points = np.full((4, 2), [x, y])
    box = regions.box_around(points, (side, side))
    assert 0 <= box.left < box.right <= side
    assert 0 <= box.top < box.bottom <= side
    assert box.right - box.left >= 12


def test_the_matte_counts_above_one_half():
    matte = np.array([[0, 127, 128, 255]], np.uint8)
    assert regions.matte_mask(matte).tolist() == [[False, False, True, True]]


def test_shrinking_takes_the_rim_but_not_the_frame():
    mask = np.zeros((128, 128), bool)
    mask[20:, 20:100] = True
    inner = regions.shrink(mask)
    assert inner[22:, 22:98].all()
    assert inner.sum() == (128 - 22) * 76


def test_unknown_regions_are_left_out():
    assert set(regions.region_masks(None, None, (32, 32))) == {"full"}
    lost = np.full((478, 2), np.nan, np.float32)
    matte = np.zeros((32, 32), np.uint8)
    assert set(regions.region_masks(matte, lost, (32, 32))) == {"full", "matte"}
    known = regions.region_masks(matte, _face((0.4, 0.6, 0.6, 0.7)), (32, 32))
    assert set(known) == {"full", "matte", "mouth", "eyes"}
