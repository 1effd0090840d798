"""Training of the animator: resumes exactly; an avatar survives its file."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_subject
from tests.listening import Telling

from talk3d.animator.extras import ExtraWeights
from talk3d.animator.tokens import TOKENS
from talk3d.animator.train import AnimatorTrainConfig, train_animator
from talk3d.avatar import Avatar, load_avatar, save_avatar
from talk3d.checkpoint import load_model, save_model
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.explain import explain
from talk3d.person import average_person
from talk3d.speech.network import shipped_hearing_sha256
from talk3d.view import View

CONFIG = AnimatorTrainConfig(
    steps=5,
    frames=1,
    checkpoint_steps=2,
    half=False,
)


@pytest.fixture
def subject(tmp_path):
    return write_ball_subject(tmp_path / "ball", frames=30)


def _person():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return average_person(Generator(replace(GeneratorConfig.tiny(), plane_size=64)))


def _trained(subject, state):
    person = _person()
    steps = list(train_animator(subject, person, CONFIG, state=state))
    return Avatar.of(subject, person, steps[-1][-1])


@pytest.fixture(scope="module")
def avatar_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("avatar")
    subject = write_ball_subject(folder / "ball", frames=30)
    save_avatar(folder / "me.safetensors", _trained(subject, folder / "a.state"))
    return folder / "me.safetensors"


def test_a_resumed_training_equals_an_uninterrupted_one(subject, tmp_path):
    whole = _trained(subject, tmp_path / "a.state")
    steps = train_animator(subject, _person(), CONFIG, state=tmp_path / "b.state")
    for _ in range(4):
        next(steps)
    steps.close()
    resumed = _trained(subject, tmp_path / "b.state")
    for name, value in whole.animator.state_dict().items():
        found = resumed.animator.state_dict()[name]
        torch.testing.assert_close(found, value, atol=0, rtol=0)
    torch.testing.assert_close(resumed.person.detail, whole.person.detail)


def test_training_with_all_losses_resumes_exactly(subject, tmp_path):
    weights = ExtraWeights(adversarial=0.1, reprojection=1.0, temporal=1.0)
    config = replace(CONFIG, extras=weights)

    def trained(state, stop):
        steps = train_animator(subject, _person(), config, state=state)
        states = [dict(a.state_dict()) for _, _, _, a in itertools.islice(steps, stop)]
        steps.close()
        return states[-1]

    whole = trained(tmp_path / "a.state", CONFIG.steps)
    trained(tmp_path / "b.state", 3)
    resumed = trained(tmp_path / "b.state", CONFIG.steps)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0)


def test_training_goes_on_from_an_animator(subject, tmp_path):
    first = _trained(subject, tmp_path / "a.state").animator
    before = {name: value.clone() for name, value in first.state_dict().items()}
    steps = train_animator(
        subject, _person(), CONFIG, state=tmp_path / "b.state", animator=first
    )
    assert next(steps)[-1] is first
    changes = [
        (value - before[name]).abs().max().item()
        for name, value in first.state_dict().items()
    ]
    assert 0 < max(changes) < 0.1
    steps.close()
    fresh = train_animator(subject, _person(), CONFIG, state=tmp_path / "a.state")
    assert next(fresh)[1] == CONFIG.steps


def test_the_state_of_another_person_is_refused(subject, tmp_path):
    state = tmp_path / "a.state"
    _trained(subject, state)
    other = _person()
    other.detail = other.detail + 0.1
    with pytest.raises(ValueError, match="begun with another person"):
        next(train_animator(subject, other, CONFIG, state=state))


def test_an_avatar_speaks_the_same_after_its_file(subject, tmp_path):
    avatar = _trained(subject, tmp_path / "a.state")
    save_avatar(tmp_path / "me.safetensors", avatar)
    loaded = load_avatar(tmp_path / "me.safetensors")
    wave = np.sin(np.arange(3200) / 9).astype(np.float32)
    for text in ("recorded", "front", "orbit", "30,-10"):
        view = View.parse(text)
        frames, again = (np.stack(list(a.speak(wave, view))) for a in (avatar, loaded))
        assert frames.shape == (5, 32, 32, 4)
        # weights are stored in float16
        assert np.abs(frames.astype(int) - again.astype(int)).max() <= 6


def _changed(path, change):
    """Write an avatar file again with a change of its weights or header."""
    saved = load_model(path, kind="avatar")
    change(saved)
    save_model(path, saved.state, kind="avatar", config=saved.config, extra=saved.extra)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.state.pop("motion.neck"), "motion.neck has another size"),
        (lambda s: s.state.pop("voice.bias"), "voice.bias has another size"),
        (lambda s: s.state.pop("person.z"), "do not fit their configuration"),
        (lambda s: s.state.pop("animator.unet.gate.bias"), "gate.bias"),
        (lambda s: s.state.update({"motion.more": torch.zeros(1)}), "more"),
        (lambda s: s.state.update({"lips.mean": torch.zeros(8)}), "lips.mean has"),
        (lambda s: s.config["animator"]["unet"].update(blocks=10**9), "from 1 to 64"),
        (lambda s: s.config["animator"]["unet"].update(plane_size=256), "256 texels"),
        (lambda s: s.config["animator"]["tokens"].update(octaves=99), "from 1 to 16"),
        (
            lambda s: s.config["animator"]["unet"].update(widths=[2**30]),
            "whole numbers",
        ),
        (lambda s: s.config["animator"].update(unet=7), "holds no whole avatar"),
        (lambda s: s.config.pop("generator"), "holds no whole avatar"),
        (lambda s: s.extra.update(fps="fast"), "frames a second"),
    ],
)
def test_a_changed_avatar_is_refused(avatar_file, tmp_path, change, words):
    path = tmp_path / "changed.safetensors"
    shutil.copy(avatar_file, path)
    _changed(path, change)
    with pytest.raises(ValueError, match=words):
        load_avatar(path)


def test_an_avatar_that_hears_with_another_network_is_refused(avatar_file, tmp_path):
    saved, path = load_model(avatar_file, kind="avatar"), tmp_path / "x.safetensors"
    assert saved.parents["hearing"] == shipped_hearing_sha256()

    def told(parents):
        save_model(
            path,
            saved.state,
            kind="avatar",
            config=saved.config,
            extra=saved.extra,
            parents=parents,
        )
        return load_avatar(path)

    told(saved.parents)
    told({})
    with pytest.raises(ValueError, match="another hearing network than this version"):
        told({"hearing": "0" * 64})


def test_an_avatar_with_a_speech_model_needs_the_same(subject, avatar_file, tmp_path):
    made = _trained(subject, tmp_path / "a.state")
    signal = np.random.default_rng(0).normal(size=(subject.frames, 3))
    model, path = Telling.of(signal), tmp_path / "me.safetensors"
    avatar = Avatar.of(subject, made.person, made.animator, model)
    save_avatar(path, avatar)
    wave, times = subject.audio(), (np.arange(subject.frames) + 0.5) / subject.fps
    torch.testing.assert_close(
        load_avatar(path, speech_model=model).voice.lips(wave, times),
        avatar.voice.lips(wave, times),
        atol=0.2,
        rtol=1e-3,
    )
    with pytest.raises(ValueError, match="none was given: give the same one"):
        load_avatar(path)
    with pytest.raises(ValueError, match=r"other .* is another: give the same one"):
        load_avatar(path, speech_model=replace(model, name="other", sha256=64 * "b"))
    with pytest.raises(ValueError, match="without a speech model: leave out"):
        load_avatar(avatar_file, speech_model=model)
    wide = Telling.of(np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"voice\.mean has another size"):
        load_avatar(path, speech_model=wide)


def test_a_frame_does_not_depend_on_the_others(subject, tmp_path):
    avatar, wave = _trained(subject, tmp_path / "a.state"), subject.audio()
    together = list(avatar.replay(wave, range(10, 17)))
    alone = list(avatar.replay(wave, range(14, 15)))
    difference = together[4].astype(int) - alone[0].astype(int)
    assert np.abs(difference).max() <= 1


def test_what_tokens_do_is_drawn(subject, tmp_path):
    avatar = _trained(subject, tmp_path / "a.state")
    wave = subject.audio()[:16_000]
    sheet = explain(avatar, wave, 12).astype(int)
    assert sheet.shape == (2 * 32, (1 + len(TOKENS)) * 32, 3)
    columns = [sheet[:, 32 * k : 32 * (k + 1)] for k in range(1 + len(TOKENS))]
    assert (columns[-1][32:] == 128).all()
    seen = [np.abs(column[:32] - columns[0][:32]).max() for column in columns[1:]]
    assert max(seen) > 10
    for frame in (-1, 25):
        with pytest.raises(ValueError, match="frames 0 to 24"):
            explain(avatar, wave, frame)


@pytest.mark.parametrize("text", ["up", "10", "1,2,3", "400,0", "nan,0"])
def test_unknown_views_are_refused(text):
    with pytest.raises(ValueError, match="is not known: give recorded"):
        View.parse(text)
