"""Registration: heads go back where they were, and interrupted work goes on."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from tests.drawn import write_ball_subject

from talk3d import registration
from talk3d.animator.train import AnimatorTrainConfig, fresh_animator
from talk3d.avatar import load_avatar
from talk3d.camera import orbit_label, project
from talk3d.dataset import Subject, SubjectWriter
from talk3d.demo import shipped
from talk3d.face import load_face_shape
from talk3d.lips import face_signals
from talk3d.registration import moved, register, rigid_move

FACE = torch.tensor([[0.0, 0.0, 0.25], [0.1, 0.1, 0.15], [-0.1, 0.1, 0.15]])
CHEST = np.array([[0.1, -0.42, 0.1], [-0.1, -0.42, 0.1], [0.0, -0.45, 0.05]])
HEADS = np.array(
    [
        [0.010, -0.006, 0.008, 0.004, -0.005, 0.01],
        [-0.008, 0.009, -0.004, -0.006, 0.003, -0.01],
    ]
)
STILL = np.zeros_like(HEADS)
MOVES = np.stack([HEADS, HEADS[::-1] / 2], 1)


@pytest.fixture(scope="module")
def speaker():
    person = load_avatar(shipped("speaker.safetensors")).person
    return person, fresh_animator(person, AnimatorTrainConfig())


@pytest.fixture
def recorded(speaker, tmp_path):
    """Frames drawn from known cameras, of two moments."""
    labels = torch.stack([orbit_label(yaw, 0.05) for yaw in (-0.15, 0.2)])
    points = torch.from_numpy(load_face_shape().mean)
    marks = np.stack([project(points, label)[0].numpy() for label in labels])
    size = speaker[0].generator.config.superres.image_size
    arrays = {
        "camera": labels.numpy(), "landmarks": marks, "blink": np.zeros((2, 2)),
        "gaze": np.zeros((2, 4)), "rotation": np.zeros((2, 3)),
        "expression": np.zeros((2, 53)), "torso": np.zeros((2, 3)),
        "neck": np.tile(np.eye(4), (2, 1, 1)), "valid": np.ones(2),
        "crop": np.array([0.0, 0.0, size, 1.0]),
    }  # fmt: skip
    with SubjectWriter(
        tmp_path / "subject", size=size, source_name="drawn", source_sha256="00"
    ) as writer:
        writer.set_plate(np.full((size, size, 3), 90, np.uint8))
        blank = np.zeros((size, size), np.uint8)
        for index in range(2):
            writer.add_frame(index, np.stack([blank] * 3, -1), blank)
        writer.set_audio(np.zeros(1280, np.float32))
        writer.finish(arrays, {})
        subject = Subject.open(tmp_path / "subject")
        for index in range(2):
            writer.add_frame(index, *_drawn(speaker[0], subject, index))
    return subject


def _register(subject, speaker, state, *, frames=None, minutes=None):
    frames = frames or range(subject.frames)
    return register(subject, *speaker, frames=frames, state=state, minutes=minutes)


@torch.inference_mode()
def _drawn(person, subject, index):
    face, gaze = face_signals(subject)[index][None], torch.zeros(1, 4)
    camera = torch.from_numpy(subject.arrays["camera"][index])[None]
    w, generator = person.styles(face, gaze), person.generator
    rendering = generator.render(person.planes(w), camera, generator.sampling())
    shown = ((generator.upsample(rendering, w)[0] + 1) / 2).clamp(0, 1)
    colour, alpha = shown[:3], shown[3:]
    mixed = (255 * colour + 90 * (1 - alpha)).permute(1, 2, 0)
    return mixed.round().byte().numpy(), (255 * alpha[0]).round().byte().numpy()


def _places(subject):
    """Where points of the face and of the chest are seen, in pixels of 256."""
    labels = torch.from_numpy(subject.arrays["camera"])
    resting = np.linalg.inv(subject.arrays["neck"]).astype(np.float32)
    seen = []
    for label, motion in zip(labels, resting, strict=True):
        chest = CHEST.astype(np.float32) @ motion[:3, :3].T + motion[:3, 3]
        seen.append(project(torch.cat([FACE, torch.from_numpy(chest)]), label)[0])
    face, chest = torch.stack(seen).mul(256).split([len(FACE), len(CHEST)], 1)
    return face.numpy(), chest.numpy()


def _away(subject, other):
    """How far faces and chests are from another's."""
    pairs = zip(_places(subject), _places(other), strict=True)
    return [np.abs(mine - theirs).max() for mine, theirs in pairs]


def test_a_drawn_head_finds_its_way_back(speaker, recorded, tmp_path):
    off = moved(recorded, np.stack([HEADS, STILL], 1))
    *_, (_, _, found) = _register(off, speaker, tmp_path / "a.poses")
    assert _away(off, recorded)[0] > 1.5
    face, chest = _away(moved(off, found), recorded)
    assert face < 0.2
    assert chest < 0.5


def test_a_drawn_torso_finds_its_way_back(speaker, recorded, tmp_path):
    off = moved(recorded, np.stack([STILL, HEADS[::-1]], 1))
    *_, (_, _, found) = _register(off, speaker, tmp_path / "a.poses")
    away = _away(off, recorded)[1]
    face, chest = _away(moved(off, found), recorded)
    assert away > 2
    assert face < 0.2
    assert chest < away / 3


def test_a_person_that_is_where_it_should_be_stays(speaker, recorded, tmp_path):
    *_, (_, _, found) = _register(recorded, speaker, tmp_path / "a.poses")
    face, chest = _away(moved(recorded, found), recorded)
    assert face < 0.05
    assert chest < 0.1


def test_where_nothing_is_drawn_nothing_moves(speaker, recorded, tmp_path, monkeypatch):
    nothing = np.zeros((256, 256, 3), np.uint8), *np.zeros((2, 256, 256), np.float32)
    monkeypatch.setattr(registration._Easel, "_drawn", lambda *_: nothing)
    *_, (_, _, found) = _register(recorded, speaker, tmp_path / "a.poses")
    assert not found.any()


def _scene(rng, count=400):
    label = orbit_label(0.0, 0.0).double().numpy()
    label[16:22] *= 256
    origin = np.array([0.02, -0.01, 2.7])
    points = origin + rng.uniform(-0.25, 0.25, (count, 3))
    move = np.array([0.02, -0.015, 0.01, 0.006, -0.004, 0.02])
    turned = Rotation.from_rotvec(move[:3]).apply(points - origin) + origin + move[3:]
    places = turned[:, :2] / turned[:, 2:] * label[16] + 128
    return label, origin, points, move, places


def test_the_move_is_found_though_a_third_of_the_flow_is_wrong():
    rng = np.random.default_rng(0)
    label, origin, points, move, places = _scene(rng)
    places[:130] += rng.uniform(-6, 6, (130, 2))
    sure = np.tile(np.eye(2), (len(points), 1, 1))
    found = rigid_move(points, places, sure, origin=origin, label=label)
    assert np.allclose(found[:3], move[:3], atol=1e-3)
    assert np.allclose(found[3:5], move[3:5], atol=1e-3)
    assert abs(found[5] - move[5]) < 0.01


def test_uncertain_flow_moves_nothing():
    label, origin, points, _, places = _scene(np.random.default_rng(0))
    none = np.zeros((len(points), 2, 2))
    found = rigid_move(points, places, none, origin=origin, label=label)
    assert not found.any()


def test_head_and_torso_move_apart(tmp_path):
    subject = write_ball_subject(tmp_path / "subject", frames=2)
    turn = Rotation.from_rotvec([0.1, 0.05, -0.04]).as_matrix()
    subject.arrays["neck"][:, :3] = np.c_[turn, [0.01, -0.02, 0.03]]
    after = moved(subject, MOVES)

    def standing(of):
        head = np.linalg.inv(of.arrays["camera"][:, :16].reshape(-1, 4, 4))
        return head, head @ np.linalg.inv(of.arrays["neck"])

    origin = standing(subject)[0][:, :3, 3]
    for body, points in enumerate((FACE.numpy(), CHEST)):
        before, now = standing(subject)[body], standing(after)[body]
        for k in range(2):
            turned = Rotation.from_rotvec(MOVES[k, body, :3]).as_matrix()
            seen = before[k, :3, :3] @ points.T + before[k, :3, 3:] - origin[k, :, None]
            wanted = turned @ seen + (origin[k] + MOVES[k, body, 3:])[:, None]
            got = now[k, :3, :3] @ points.T + now[k, :3, 3:]
            assert np.allclose(got, wanted, atol=1e-5)


def _fake(monkeypatch):
    """Every frame's move is its number; the frames asked for are noted."""
    asked = []

    def moves(_self, frame):
        asked.append(frame)
        return np.full((2, 6), float(frame))

    monkeypatch.setattr(registration._Easel, "moves", moves)
    return asked


def test_work_that_was_interrupted_goes_on(speaker, tmp_path, monkeypatch):
    asked = _fake(monkeypatch)
    subject = write_ball_subject(tmp_path / "subject", frames=120)
    subject.arrays["valid"][7] = 0
    state = tmp_path / "a.poses"
    for done, length, moves in _register(subject, speaker, state):
        assert length == 119
        if done == 70:
            # Those not looked at lie between the others.
            assert np.abs(moves - np.arange(120)[:, None, None]).max() <= 8
            break
    *_, (done, _, found) = _register(subject, speaker, state)
    assert done == 119
    assert np.allclose(found, np.arange(120)[:, None, None])
    assert sorted(asked[:50] + asked[70:]) == [k for k in range(120) if k != 7]


def test_what_a_face_does_is_read_as_before(tmp_path):
    subject = write_ball_subject(tmp_path / "subject", frames=40)
    moves = np.tile(MOVES, (20, 1, 1))
    twice = moved(moved(subject, moves), moves)
    assert torch.equal(face_signals(twice), face_signals(subject))


def test_frames_that_do_not_matter_follow_the_nearest(speaker, tmp_path, monkeypatch):
    asked = _fake(monkeypatch)
    subject = write_ball_subject(tmp_path / "subject", frames=30)
    frames = range(5, 20, 2)
    steps = _register(subject, speaker, tmp_path / "a.poses", frames=frames)
    *_, (_, _, found) = steps
    assert sorted(asked) == list(frames)
    assert np.allclose(found, np.arange(30).clip(5, 19)[:, None, None])


def test_the_work_of_somebody_else_is_not_gone_on_with(speaker, tmp_path, monkeypatch):
    _fake(monkeypatch)
    subject = write_ball_subject(tmp_path / "subject", frames=60)
    for _ in _register(subject, speaker, tmp_path / "a.poses"):
        pass
    other = write_ball_subject(tmp_path / "other", frames=61)
    with pytest.raises(ValueError, match=r"another .*subject"):
        next(_register(other, speaker, tmp_path / "a.poses"))


def test_no_time_means_no_moves(speaker, tmp_path, monkeypatch):
    asked = _fake(monkeypatch)
    subject = write_ball_subject(tmp_path / "subject", frames=20)
    steps = list(_register(subject, speaker, tmp_path / "a.poses", minutes=0.0))
    assert not asked
    assert not steps[-1][2].any()
