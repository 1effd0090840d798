import numpy as np
import pytest

from talk3d.preprocess.crop import head_rotation
from talk3d.preprocess.pose import HeadTrack
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
    assert (rotation(0, 0, 0.1) @ [0, 1.0, 0])[0] > 0
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


def test_a_tracked_head_has_the_angles_it_was_turned_by():
    """Drawn and tracked heads name yaw, pitch and roll alike."""
    angles = (0.2, -0.1, 0.15)
    to_camera, turn = np.diag([1.0, -1.0, -1.0]), rotation(*angles)
    # a turn and its inverse have the identity as their mean
    turns = np.stack([to_camera @ turn, to_camera @ turn.T])
    track = HeadTrack(
        focal=1.0,
        centre=(0.0, 0.0),
        identity=np.zeros(2),
        rotation=turns,
        translation=np.zeros((2, 3)),
        expression=np.zeros((2, 53)),
    )
    assert head_rotation(track)[0] == pytest.approx(angles, abs=1e-5)


def test_folds_are_hollow_and_noses_are_not(full_head):
    normals = full_head.normals(full_head.neutral)
    bend = full_head.hollows(full_head.neutral, normals)
    nose, nostril, corner = full_head.landmarks[[30, 31, 48]]
    assert bend[nose] < -0.3
    assert bend[nostril] > 0.3
    assert bend[corner] > 0.1


def test_a_shut_lid_presses_the_cornea_flat(full_head):
    shape, ahead = full_head.neutral, np.zeros(4, np.float32)
    left, right = full_head.eye_vertices
    turned = full_head.turn_eyes(shape, shape, ahead, (1.0, 0.0))
    away = np.linalg.norm(turned[left] - full_head.eye_centres(shape)[0], axis=1)
    assert away.max() < 1.5
    assert np.abs(turned[right] - shape[right]).max() < 1e-4
