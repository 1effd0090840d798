from importlib import resources

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from talk3d.camera import orbit_label, project
from talk3d.slide import fit_slide, view_basis
from talk3d.synthetic.casting import cast_points
from talk3d.synthetic.head import PARTS, to_world
from talk3d.synthetic.landmarks import landmark_points
from talk3d.synthetic.measure import MeasureConfig, measure_face_shape


def screen_of(head, label):
    place, depth = project(torch.tensor(to_world(head.neutral)), label)
    return np.c_[place.numpy(), depth.numpy()].astype(np.float64)


def test_casting_undoes_projection(head):
    label = orbit_label(0.2, 0.1)
    points = landmark_points(head)
    wanted = points.on(head.neutral)[:468]
    place, _ = project(torch.tensor(to_world(wanted.astype(np.float32))), label)
    skin = np.flatnonzero(head.triangle_part == PARTS.index("face"))
    hits = cast_points(
        place.numpy().astype(np.float64),
        screen_of(head, label),
        head.triangles,
        among=skin,
    )
    error = np.linalg.norm(hits.on(head.neutral) - wanted, axis=1)
    # points on the far side of the nose and of folds are hidden by nearer skin;
    # float32 places of a 40 cm wide picture give micrometres
    assert (error < 1e-3).mean() > 0.85


def test_a_point_beside_the_mesh_snaps_or_misses(head):
    label = orbit_label(0.0, 0.0)
    screen = screen_of(head, label)
    skin = np.flatnonzero(head.triangle_part <= PARTS.index("headneck"))
    inside = np.unique(head.triangles[skin])
    right = screen[inside[screen[inside, 0].argmax()]]
    beside = right[None, :2] + [0.01, 0.0]
    missed = cast_points(beside, screen, head.triangles, among=skin)
    assert np.isnan(missed.weights).all()
    snapped = cast_points(beside, screen, head.triangles, among=skin, snap=0.05)
    assert np.isfinite(snapped.weights).all()


def test_slide_is_recovered():
    rng = np.random.default_rng(0)
    angles = rng.uniform(-0.6, 0.6, (60, 2)) * [1.0, 0.4]
    labels = np.stack([orbit_label(float(y), float(p)).numpy() for y, p in angles])
    pose = labels[:, :16].reshape(-1, 4, 4).astype(np.float64)
    forward = np.linalg.inv(pose)[:, :3, 2]
    y = np.arctan2(forward[:, 0], -forward[:, 2])
    distance = -(pose[:, :3, 3] * pose[:, :3, 2]).sum(1)
    p = -np.arcsin(forward[:, 1])
    # two mirrored points that move aside with yaw, inward with |yaw|, and less aside
    # the farther they have turned; both rise with pitch
    offset = np.zeros((60, 2, 2))
    offset[:, :, 0] = (0.02 * y - 0.01 * y**3)[:, None]
    offset[:, :, 0] += 0.01 * (y**2)[:, None] * [1, -1]
    offset[:, :, 1] = (0.015 * p)[:, None]
    scale = (labels[:, 16] / distance)[:, None, None]
    found = fit_slide(offset * scale, labels, np.array([1, 0]), degree=3)
    told = np.tensordot(view_basis(y, p, degree=3), found, 1)
    # the ridge of 1e-3 shrinks what 120 views say of the cubes by less than a hundredth
    assert np.abs(told - offset).max() < 1e-4


def test_only_talking_is_measured_of_a_known_shape(full_head, nets, opengl, tmp_path):
    known = resources.files("talk3d") / "data" / "face_shape.safetensors"
    out = tmp_path / "shape.safetensors"
    config = MeasureConfig(view_people=2, views=3, size=256)
    with resources.as_file(known) as path:
        before = load_file(path)
        measure_face_shape(out, config, head=full_head, nets=nets, known=path)
    after = load_file(out)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if not name.startswith("talking"):
            np.testing.assert_allclose(after[name], value, atol=1e-6)
    # two people instead of 60, world units of 40 cm
    depth = after["talking_depth"] - before["talking_depth"]
    assert 0 < np.abs(depth).mean() < 0.01


def test_a_shape_of_another_head_is_refused(head, nets, opengl, tmp_path):
    known = resources.files("talk3d") / "data" / "face_shape.safetensors"
    with resources.as_file(known) as path, pytest.raises(ValueError, match="another"):
        measure_face_shape(
            tmp_path / "shape.safetensors",
            MeasureConfig(),
            head=head,
            nets=nets,
            known=path,
        )
