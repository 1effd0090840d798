"""Where driving may move the planes."""

import numpy as np
import torch

from talk3d.animator.reach import face_reach
from talk3d.eg3d.triplane import sample_planes_reference
from talk3d.face import load_face_shape

BOX = 1.0


def _at(points: np.ndarray) -> np.ndarray:
    weights = face_reach(128, "xy_xz_zy", BOX)[None]
    places = torch.tensor(points, dtype=torch.float32).reshape(1, -1, 3)
    found = sample_planes_reference(weights, places, axes="xy_xz_zy", box=BOX)
    return found[0, :, 0].numpy()


def test_every_expression_of_the_average_face_lies_within():
    shape = load_face_shape()
    posed = np.concatenate([shape.mean[None], shape.mean + shape.expression])
    assert _at(posed).min() > 0.97


def test_hair_ears_and_cloth_lie_without():
    away = [(0.0, 0.38, 0.0), (0.28, 0.0, -0.1), (0.0, -0.42, 0.0), (0.0, 0.0, -0.3)]
    assert _at(np.array(away)).max() < 0.4
    assert _at(np.array([(0.3, -0.4, -0.2), (0.3, 0.4, -0.2)])).max() < 1e-3


def test_weights_lie_between_nothing_and_all():
    weights = face_reach(64, "official", BOX)
    assert weights.shape == (3, 1, 64, 64)
    assert weights.min() >= 0
    assert weights.max() <= 1 + 1e-6
