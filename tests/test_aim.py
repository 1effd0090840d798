"""Aim: lips that drawing shows wrong are told so that they are seen right."""

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_subject

from talk3d import aim
from talk3d.aim import aimed
from talk3d.animator.train import AnimatorTrainConfig, fresh_animator
from talk3d.avatar import Avatar
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.face import FaceNets
from talk3d.lips import LIP_POINTS, seen_lips
from talk3d.person import average_person
from talk3d.told import articulation


class Told(FaceNets):
    """Sees the points it was told to; no face where a picture is black."""

    def __init__(self, points=None) -> None:
        self.points = points

    def landmarks(self, image, rois):
        del rois
        return self.points, float(image.any())


@pytest.fixture
def talking(tmp_path):
    """A recording whose lips open and widen, and its avatar."""
    subject = write_ball_subject(tmp_path / "subject", frames=160)
    rng = np.random.default_rng(0)
    forms = 0.01 * rng.normal(size=(2, len(LIP_POINTS), 2))
    moved = np.tensordot(rng.normal(size=(160, 2)), forms, 1).astype(np.float32)
    subject.arrays["landmarks"][:, list(LIP_POINTS)] += moved
    with torch.random.fork_rng():
        torch.manual_seed(0)
        person = average_person(Generator(GeneratorConfig.tiny()))
        animator = fresh_animator(person, AnimatorTrainConfig(steps=1))
    return subject, Avatar.of(subject, person, animator)


def _draw_wrongly(monkeypatch, avatar, subject, *, gain, offset, seen=1.0):
    """Have drawings show lips that move less and lie elsewhere than told."""
    space = avatar.space

    def shown(numbers):
        wish = space.mean + (numbers * space.spread) @ space.basis
        return (space.mean + gain * (wish - space.mean) + offset).numpy()

    class Look(aim._Look):
        """Is handed lips, in the place of pictures, and carries them in the points."""

        def at(self, pictures):
            rows = np.stack(list(pictures))
            own = seen_lips(subject)[aim._chosen(subject)]
            points = np.zeros((len(own), 478, 2), np.float32)
            points[:, :40] = (rows if rows.ndim == 2 else own).reshape(-1, 40, 2)
            points[np.linspace(0, 1, len(own)) > seen] = np.nan
            return points

        def lips(self, points):
            return points[:, :40].reshape(-1, 80)

    monkeypatch.setattr(aim, "_Look", Look)
    monkeypatch.setattr(aim, "_drawn", lambda _avatar, lips, _frames: shown(lips))
    return shown


def test_lips_are_seen_where_they_were_told(talking, monkeypatch):
    subject, avatar = talking
    basis = avatar.space.basis
    offset = 0.7 * avatar.space.spread[:2] @ basis[:2]
    shown = _draw_wrongly(monkeypatch, avatar, subject, gain=0.7, offset=offset)
    wish = torch.from_numpy(seen_lips(subject)[subject.test.start :])
    before = np.abs(shown(avatar.space.encode(wish)) - wish.numpy()).mean()
    better = aimed(avatar, subject, Told(), lambda _part: None)
    after = np.abs(shown(better.space.encode(wish)) - wish.numpy()).mean()
    assert after < 0.1 * before
    assert torch.equal(avatar.voice.weight, better.voice.weight)


def test_lips_that_are_drawn_right_are_told_as_before(talking, monkeypatch):
    subject, avatar = talking
    _draw_wrongly(monkeypatch, avatar, subject, gain=1.0, offset=0.0)
    better = aimed(avatar, subject, Told(), lambda _part: None)
    wish = torch.from_numpy(seen_lips(subject))
    told = avatar.space.encode(wish)
    torch.testing.assert_close(better.space.encode(wish), told, atol=2e-3, rtol=0)


def test_lips_that_are_not_seen_are_left_alone(talking, monkeypatch):
    subject, avatar = talking
    _draw_wrongly(monkeypatch, avatar, subject, gain=0.7, offset=0.0, seen=0.05)
    assert aimed(avatar, subject, Told(), lambda _part: None) is avatar


def test_drawn_lips_are_read_as_recorded_ones(talking):
    subject, _ = talking
    frames = np.arange(40, 43)
    points = subject.arrays["landmarks"][40] * subject.size
    look = aim._Look(subject, frames, Told(points.astype(np.float32)))
    lit, black = (np.full((32, 32, 3), grey, np.uint8) for grey in (90, 0))
    found = look.lips(look.at([lit, black, lit]))
    assert np.isnan(found[1]).all()
    # Landmarks of frame 40 throughout: its own lips, but for the unit of the video.
    unit = np.linalg.norm(found[0]) / np.linalg.norm(seen_lips(subject)[40])
    np.testing.assert_allclose(found[0] / unit, seen_lips(subject)[40], atol=0.05)


def test_lips_that_are_told_shyly_move_further():
    shares = (0.0, 0.2, 0.25, 0.36, 0.64, 1.0, 2.0)
    gains = [articulation(share) for share in shares]
    assert gains == pytest.approx([2, 2, 2, 1 / 0.6, 1.25, 1.25, 1.25])


def test_blinks_are_told_so_that_lids_shut():
    rng = np.random.default_rng(0)
    blink = rng.uniform(0, 1, (100, 2)) ** 3
    drawn = 0.28 - 0.15 * blink + 0.002 * rng.normal(size=(100, 2))
    gain, shift = aim._lids(blink, 0.3 - 0.25 * blink, drawn).T
    told = blink * gain.numpy() + shift.numpy()
    assert np.abs(0.28 - 0.15 * told - (0.3 - 0.25 * blink)).max() < 0.02


@pytest.mark.parametrize("flat", ["blink", "recorded", "drawn", "loose"])
def test_blinks_are_left_alone_where_nothing_is_learned(flat):
    rng = np.random.default_rng(0)
    blink = rng.uniform(0, 1, (100, 2))
    signs = {"blink": blink, "recorded": 0.3 - 0.2 * blink, "drawn": 0.3 - 0.1 * blink}
    if flat == "loose":
        signs["drawn"] = rng.uniform(0.2, 0.3, (100, 2))
    else:
        signs[flat] = np.full((100, 2), 0.1)
    assert aim._lids(**signs).tolist() == [[1.0, 0.0]] * 2


def test_shut_eyes_are_among_the_frames_that_are_drawn(talking):
    subject, _ = talking
    subject.arrays["blink"][[17, 61, 103]] = 1.0
    subject.arrays["valid"][61] = 0.0
    frames = aim._chosen(subject)
    assert {17, 103} <= set(frames.tolist())
    assert 61 not in frames
    assert frames.max() < subject.train.stop
    assert len(np.unique(frames)) == len(frames) <= 120
