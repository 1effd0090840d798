"""The face's depth from landmarks, against a face whose depth is known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talk3d.camera import orbit_label, project
from talk3d.dataset import Subject
from talk3d.face import load_face_shape
from talk3d.face_depth import FaceDepth, fit_identity

YAWS = np.radians(np.linspace(-15, 15, 8))


def _filmed(weights, *, report):
    """A still face with identity weights, seen by eight cameras, as a subject."""
    shape = load_face_shape()
    points = shape.mean + np.tensordot(weights, shape.identity, 1)
    labels = torch.stack([orbit_label(float(yaw), 0.0) for yaw in YAWS])
    marks = torch.stack(
        [project(torch.from_numpy(points.astype(np.float32)), one)[0] for one in labels]
    )
    arrays = {
        "camera": labels.numpy(),
        "landmarks": marks.numpy(),
        "expression": np.zeros((len(YAWS), 53), np.float32),
    }
    info = {"report": report, "split": {"train": [0, 8], "test": [8, 8]}}
    return Subject(Path("unused"), info, arrays), points


@pytest.fixture
def weights():
    """Some person."""
    modes = len(load_face_shape().identity)
    return np.random.default_rng(3).normal(size=modes).astype(np.float32)


def test_identity_is_found_from_landmarks(weights):
    subject, points = _filmed(weights, report={})
    shape = load_face_shape()
    found = fit_identity(subject, np.arange(8))
    again = shape.mean + np.tensordot(found, shape.identity, 1)
    before = np.linalg.norm(points - shape.mean, axis=-1).mean()
    assert np.linalg.norm(points - again, axis=-1).mean() < 0.25 * before


def test_depth_is_that_of_the_landmarks(weights):
    subject, points = _filmed(weights, report={"identity": weights.tolist()})
    size = 128
    depth = FaceDepth(subject).map(2, size)
    label = torch.from_numpy(subject.arrays["camera"][2])
    place, distance = project(torch.from_numpy(points.astype(np.float32)), label)
    column, row = (place.numpy() * size).astype(int).clip(0, size - 1).T
    seen = depth[row, column]
    known = seen > 0
    assert 200 < known.sum() < 468
    off = np.abs(seen - distance.numpy())[known]
    assert np.median(off) < 0.003


def test_nothing_is_said_of_eyes_mouth_and_background(weights):
    subject, _ = _filmed(0 * weights, report={"identity": (0 * weights).tolist()})
    shape = load_face_shape()
    jaw = shape.expression_names.index("jawOpen")
    subject.arrays["expression"][:, jaw] = 1.0
    depth = FaceDepth(subject).map(4, 256)
    label = torch.from_numpy(subject.arrays["camera"][4])
    opened = (shape.mean + shape.expression[jaw]).astype(np.float32)
    place = project(torch.from_numpy(opened), label)[0].numpy()
    middle = {
        "mouth": place[[13, 14]].mean(0),
        "left eye": place[473],
        "right eye": place[468],
        "corner": np.array([0.01, 0.01]),
    }
    for name, at in middle.items():
        column, row = (at * 256).astype(int)
        assert depth[row, column] == 0, name
    nose = (place[4] * 256).astype(int)
    assert depth[nose[1], nose[0]] > 0
