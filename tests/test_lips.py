"""Lips: free of the head's motion, spanned by a few numbers."""

import numpy as np
import torch
from tests.marked import marked

from talk3d.camera import orbit_label
from talk3d.face import load_face_shape
from talk3d.lips import LIP_POINTS, LipSpace, lip_shapes


def _faces(frames):
    """Faces whose jaw opens and shuts, all else at rest."""
    shape = load_face_shape()
    opening = 0.5 + 0.5 * np.sin(np.arange(frames))
    jaw = shape.expression[shape.expression_names.index("jawOpen")]
    return (shape.mean + opening[:, None, None] * jaw).astype(np.float32), opening


def test_a_turning_head_does_not_move_the_lips():
    faces, _ = _faces(12)
    faces[:] = faces[0]
    angles = np.linspace(-0.25, 0.25, 12)
    labels = [orbit_label(float(a), float(a) / 3) for a in angles]
    shapes = lip_shapes(*marked(faces, labels))
    assert shapes.std(0).max() < 1.5  # percent; lips lie off the mean depth


def test_marks_that_slide_on_a_turned_head_are_put_back():
    shape = load_face_shape()
    angles = np.linspace(-0.5, 0.5, 9)
    labels = [orbit_label(float(a), float(a) / 3) for a in angles]
    face = np.c_[shape.mean[:, :2], shape.talking_depth]
    faces = np.tile(face.astype(np.float32), (9, 1, 1))
    shapes = lip_shapes(*marked(faces, labels))
    true = shape.mean[list(LIP_POINTS), :2]
    true = 100 * (true - true.mean(0)) / np.ptp(shape.mean[[33, 263], 0])
    # percent; the outer corners of the eyes lie at one height and one depth
    assert np.abs(shapes - true.ravel()).max() < 0.01


def test_opening_the_jaw_is_one_component():
    faces, opening = _faces(40)
    labels = [orbit_label(0.1, 0.0)] * 40
    shapes = lip_shapes(*marked(faces, labels))
    space = LipSpace.of(shapes)
    numbers = space.encode(torch.from_numpy(shapes)).numpy()
    assert abs(np.corrcoef(numbers[:, 0], opening)[0, 1]) > 0.99
    np.testing.assert_allclose(numbers[:, 0].std(), 1.0, rtol=0.01)
    found = space.mean + torch.from_numpy(numbers) * space.spread @ space.basis
    np.testing.assert_allclose(found, shapes, atol=0.05)


def test_numbers_of_an_aimed_space_are_turned_and_moved():
    rng = np.random.default_rng(0)
    gain, shift = np.eye(8) + 0.2 * rng.normal(size=(8, 8)), rng.normal(size=8)
    shapes = rng.normal(size=(50, 80)).astype(np.float32)
    space = LipSpace.of(shapes)
    told = space.encode(torch.from_numpy(shapes)).numpy()
    aimed = space.aimed(gain, shift).encode(torch.from_numpy(shapes)).numpy()
    np.testing.assert_allclose(aimed, told @ gain + shift, atol=1e-4)


def test_components_that_are_missing_stay_missing_when_aimed():
    rng = np.random.default_rng(0)
    flat = np.outer(rng.normal(size=30), rng.normal(size=80)).astype(np.float32)
    space = LipSpace.of(flat)
    shift = np.array([0.5] + [0.0] * 7)
    numbers = space.aimed(np.diag([1.5] + [1.0] * 7), shift)
    aimed = numbers.encode(torch.from_numpy(flat)).numpy()
    told = space.encode(torch.from_numpy(flat)).numpy()
    np.testing.assert_allclose(aimed[:, 0], 1.5 * told[:, 0] + 0.5, atol=1e-4)
    assert np.abs(aimed[:, 1:]).max() < 1e-4


def test_width_is_percent_of_the_distance_of_the_eyes():
    faces, _ = _faces(5)
    shapes = lip_shapes(*marked(faces, [orbit_label(0.0, 0.0)] * 5))
    left, right = LIP_POINTS.index(291), LIP_POINTS.index(61)
    points = shapes.reshape(5, 40, 2)
    face = faces[0]
    expected = np.linalg.norm(face[291, :2] - face[61, :2]) / np.linalg.norm(
        face[263, :2] - face[33, :2]
    )
    width = np.linalg.norm(points[0, left] - points[0, right]) / 100
    assert abs(width / expected - 1) < 0.03
    assert points[0, left, 0] > points[0, right, 0]


def test_fewer_frames_than_numbers_leave_the_rest_zero():
    shapes = np.random.default_rng(0).normal(size=(3, 80)).astype(np.float32)
    space = LipSpace.of(shapes)
    assert space.basis.shape == (8, 80)
    assert torch.isfinite(space.encode(torch.from_numpy(shapes))).all()


def test_few_frames_span_few_numbers():
    shapes = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    space = LipSpace.of(shapes[:6])
    numbers = space.encode(torch.from_numpy(shapes))
    assert (numbers[:, 5:] == 0).all()
    assert numbers.abs().max() < 20
