import numpy as np
import torch

from talk3d.camera import orbit_label, project
from talk3d.synthetic.head import PARTS, to_world
from talk3d.synthetic.landmarks import landmark_points
from talk3d.synthetic.measure import cast_points, fit_slide


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
    slide = np.zeros((6, 2, 2))
    # two mirrored points that move inward with |yaw| and aside with yaw
    slide[1, :, 0], slide[3, :, 0] = 0.02, [0.01, -0.01]
    basis = np.stack([np.ones_like(y), y, 0 * y, y * y, 0 * y, 0 * y], 1)
    error = np.tensordot(basis, slide, 1) * (labels[:, 16] / distance)[:, None, None]
    found = fit_slide(error, labels, np.array([1, 0]))
    # the ridge of 1e-3 shrinks 120 views by about 1e-5 of the coefficients
    assert np.abs(found - slide).max() < 1e-4
