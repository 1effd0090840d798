import numpy as np
import pytest

from talk3d.synthetic.head import (
    EXPRESSIONS,
    LIPS_LOWER,
    LIPS_UPPER,
    expression_indices,
    head_file,
    load_head,
    rotation,
    save_head,
    to_world,
)


def test_expressions_are_those_of_the_full_model(full_head):
    assert len(EXPRESSIONS) == 53
    assert full_head.expression.shape[0] == 53


def test_sides_of_an_expression():
    assert [EXPRESSIONS[k] for k in expression_indices("eyeBlink")] == [
        "eyeBlink_L",
        "eyeBlink_R",
    ]
    assert len(expression_indices("jawOpen")) == 1
    with pytest.raises(ValueError, match="no expression"):
        expression_indices("wink")


def test_shape_and_express_are_linear(head):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=len(head.identity)).astype(np.float32)
    expected = head.neutral + np.tensordot(weights, head.identity, 1)
    # float32 sums of 20 terms of about 0.1 cm
    assert np.abs(head.shape(weights) - expected).max() < 1e-4
    smile = np.zeros(53)
    smile[expression_indices("mouthSmile")] = 0.5, 0.7
    moved = head.express(head.neutral, smile)
    expected = head.neutral + np.tensordot(smile, head.expression, 1)
    # vertices that a shape moves by less than 1 micrometre are left out of it
    assert np.abs(moved - expected).max() < 5e-4


def test_jaw_opens_the_lips(head):
    weights = np.zeros(53)
    weights[expression_indices("jawOpen")] = 1
    opened = head.gap(head.express(head.neutral, weights), LIPS_UPPER, LIPS_LOWER)
    assert opened > 1.5 + head.gap(head.neutral, LIPS_UPPER, LIPS_LOWER)


def test_eyes_turn_rigidly(head):
    gaze = np.radians([20.0, 5.0, 20.0, 5.0])
    turned = head.turn_eyes(head.neutral, head.neutral, gaze)
    centres = head.eye_centres(head.neutral)
    for k, index in enumerate(head.eye_vertices):
        before = np.linalg.norm(head.neutral[index] - centres[k], axis=1)
        after = np.linalg.norm(turned[index] - centres[k], axis=1)
        # float32 positions of about 10 cm
        assert np.abs(before - after).max() < 1e-4
        front = head.neutral[index, 2].argmax()
        # 20 degrees to the subject's left of an eye of 1.5 cm radius
        moved = turned[index][front] - head.neutral[index][front]
        assert moved[0] == pytest.approx(1.545 * np.sin(np.radians(20)), abs=0.08)
    others = np.setdiff1d(np.arange(len(turned)), np.concatenate(head.eye_vertices))
    assert (turned[others] == head.neutral[others]).all()


def test_rotation_signs():
    ahead = np.array([0, 0, 1.0])
    assert (rotation(0.1, 0) @ ahead)[0] > 0
    assert (rotation(0, 0.1) @ ahead)[1] > 0
    assert (rotation(0, 0, 0.1) @ [0, 1.0, 0])[0] < 0
    turn = rotation(0.3, -0.2, 0.1)
    assert np.allclose(turn @ turn.T, np.eye(3))


def test_normals_of_an_eyeball_point_outward(head):
    normals = head.normals(head.neutral)
    centres = head.eye_centres(head.neutral)
    for k, index in enumerate(head.eye_vertices):
        outward = head.neutral[index] - centres[k]
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        # a faceted ball: normals differ from the radius by a few degrees
        assert (normals[index] * outward).sum(1).mean() > 0.97


def test_to_world_has_its_origin_in_the_head():
    assert np.allclose(
        to_world(np.array([[0, 1.0, 0], [40, 1, 0]])), [[0] * 3, [1, 0, 0]]
    )


def test_a_saved_head_comes_back(head, tmp_path):
    path = tmp_path / "head.npz"
    save_head(path, head)
    again = load_head(path)
    assert (again.triangles == head.triangles).all()
    assert (again.neutral == head.neutral).all()
    # float16 offsets of up to 4 cm: 2 ** -10 of them
    assert np.abs(again.expression - head.expression).max() < 4e-3


def test_missing_and_broken_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no head model at"):
        head_file(tmp_path / "absent.npz")
    monkeypatch.setenv("TALK3D_HEAD", str(tmp_path / "absent.npz"))
    with pytest.raises(FileNotFoundError, match="no head model at"):
        head_file()
    monkeypatch.delenv("TALK3D_HEAD")
    assert head_file() is None
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"not a head")
    with pytest.raises(ValueError, match="no packed head model"):
        load_head(broken)
