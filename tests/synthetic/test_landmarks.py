import numpy as np

from talk3d.synthetic.landmarks import closest_points, landmark_points


def test_closest_points_against_brute_force():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(12, 3))
    triangles = rng.permutation(12).reshape(4, 3)
    points = rng.normal(size=(20, 3)) * 2
    found = closest_points(points, vertices, triangles, among=np.arange(4))
    grid = (
        np.array([(i, j, 60 - i - j) for i in range(61) for j in range(61 - i)], float)
        / 60
    )
    dense = (grid @ vertices[triangles]).reshape(-1, 3)
    nearest = np.linalg.norm(points[:, None] - dense[None], axis=2).min(1)
    exact = np.linalg.norm(found.on(vertices) - points, axis=1)
    # a grid of 1/60 of triangles about 3 wide misses by at most half a step
    assert (exact <= nearest + 1e-9).all()
    assert np.abs(exact - nearest).max() < 0.05
    assert (found.weights >= -1e-9).all()


def test_full_model_uses_the_measured_triangles(full_head):
    points = landmark_points(full_head)
    assert len(points.face) == 478
    nose = points.on(full_head.neutral)[4]
    # the tip of the nose of the mean head, see the notes of the packed model
    assert np.abs(nose - [0, 0.4, 13.0]).max() < 0.6


def test_builtin_head_carries_the_same_points(head, full_head):
    small = landmark_points(head).on(head.neutral)
    full = landmark_points(full_head).on(full_head.neutral)
    # one step of Loop's scheme smooths a centimetre-wide mesh
    assert np.median(np.linalg.norm(small - full, axis=1)) < 0.05
    assert np.linalg.norm(small - full, axis=1).max() < 0.6
