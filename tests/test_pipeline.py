"""Learning to speak, whole: what is done in which order, and interruptions."""

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_subject
from tests.listening import Telling

from talk3d import guard, registration
from talk3d.animator.train import AnimatorTrainConfig
from talk3d.avatar import load_avatar
from talk3d.checkpoint import read_header
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.face import FaceNets
from talk3d.interrupted import TRAINING_STATES
from talk3d.person import average_person, person_state, save_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import personalize_subject, train_subject

CONFIG = AnimatorTrainConfig(steps=4, checkpoint_steps=2, half=False)


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """A recording, its person, and moves that are told apart by frame and call."""
    monkeypatch.setenv("TALK3D_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(registration, "_CHECKPOINT", 5)
    monkeypatch.setattr(guard, "_YAWS", (-150, 80))

    def moves(easel, frame):
        shift = float(easel._camera[frame, 3]) / 100
        head = np.array([0, 0, 0, shift, 1e-4 * frame, 0])
        return np.stack([head, -head])

    monkeypatch.setattr(registration._Easel, "moves", moves)
    prior, person = tmp_path / "prior.safetensors", tmp_path / "person.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_generator(prior, Generator(GeneratorConfig.tiny()))
    subject = write_ball_subject(tmp_path / "subject", frames=30)
    average = average_person(load_generator(prior))
    save_person(person, average, subject=subject.path, prior=prior)
    return subject, person


def _stages(fitted, out, *, until=None):
    """Train; stop where a stage has come so far."""
    subject, person = fitted
    seen = []

    def report(stage, part):
        if not seen or seen[-1] != stage:
            seen.append(stage)
        if (len(seen), part) == until:
            raise KeyboardInterrupt

    if until is None:
        train_subject(subject.path, person, out, CONFIG, report)
    else:
        with pytest.raises(KeyboardInterrupt):
            train_subject(subject.path, person, out, CONFIG, report)
    return seen


def test_learning_that_is_interrupted_anywhere_ends_the_same(fitted, tmp_path):
    (tmp_path / "a").mkdir()
    whole, resumed = tmp_path / "a/me.safetensors", tmp_path / "me.safetensors"
    assert _stages(fitted, whole) == ["register", "pictures", "register"]
    for until in ((1, 0.5), (2, 0.75), (3, 0.5)):
        _stages(fitted, resumed, until=until)
    assert not resumed.exists()
    _stages(fitted, resumed)
    first, second = load_avatar(whole), load_avatar(resumed)
    for name, value in person_state(first.person).items():
        assert torch.equal(person_state(second.person)[name], value)
    assert torch.equal(first.camera, second.camera)
    states = [out.with_suffix(s) for out in (whole, resumed) for s in TRAINING_STATES]
    assert not any(state.exists() for state in states)


class Nobody(FaceNets):
    """Sees no face anywhere."""

    def __init__(self) -> None:
        """Load nothing."""

    def landmarks(self, image, rois):
        del image, rois
        return np.zeros((478, 2), np.float32), 0.0


def test_lips_are_aimed_when_all_is_learned(fitted, tmp_path):
    subject, person = fitted
    out, seen = tmp_path / "me.safetensors", []

    def report(stage, part):
        seen.append((stage, part))

    train_subject(subject.path, person, out, CONFIG, report, nets=Nobody())
    assert seen[-1] == ("aim", 1.0)
    assert load_avatar(out).space.basis.any()


def test_a_speech_model_listens_with_the_voice(fitted, tmp_path):
    subject, person = fitted
    out, signal = tmp_path / "me.safetensors", np.random.default_rng(0)
    model = Telling.of(signal.normal(size=(subject.frames, 2)))
    stages = []
    train_subject(
        subject.path,
        person,
        out,
        CONFIG,
        lambda stage, _: stages.append(stage),
        speech_model=model,
    )
    assert read_header(out)["parents"]["speech_model"] == model.sha256
    assert load_avatar(out, speech_model=model).voice.model is model


def test_an_avatar_is_seen_with_registered_poses(fitted, tmp_path):
    out = tmp_path / "me.safetensors"
    _stages(fitted, out)
    avatar, subject = load_avatar(out), fitted[0]
    apart = (avatar.camera - torch.from_numpy(subject.arrays["camera"])).abs().amax(1)
    assert (apart[1:] > 1e-5).all()
    assert torch.equal(
        avatar.camera[:, 16:], torch.from_numpy(subject.arrays["camera"])[:, 16:]
    )


@pytest.mark.parametrize(("minutes", "warned"), [(0.001, True), (None, False)])
def test_a_person_tuned_in_haste_is_warned_of(
    fitted, tmp_path, caplog, minutes, warned
):
    subject, _ = fitted
    config = PersonalizeConfig(
        invert_steps=1,
        coarse_steps=1,
        tune_steps=1000 if warned else 2,
        half=False,
        minutes=minutes,
    )
    prior, out = tmp_path / "prior.safetensors", tmp_path / "g.safetensors"
    parts = []
    personalize_subject(
        subject.path, prior, out, config, lambda _, part: parts.append(part)
    )
    assert parts[-1] == 1
    assert ("of 1000 steps of tuning, so eyes and brows" in caplog.text) is warned
