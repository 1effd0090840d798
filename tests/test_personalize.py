"""Fitting a person: it learns, resumes exactly and survives its file."""

from dataclasses import replace

import pytest
import torch
from tests.drawn import write_ball_subject

from talk3d.animator.train import AnimatorTrainConfig
from talk3d.checkpoint import file_sha256
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.encoder.network import (
    Encoder,
    EncoderConfig,
    load_encoder,
    save_encoder,
)
from talk3d.frames import FrameStore
from talk3d.person import average_person, load_person, person_state, save_person
from talk3d.personalize import PersonalizeConfig, first_draws, personalize
from talk3d.pipeline import train_subject
from talk3d.precision import denormals_dropped

CONFIG = PersonalizeConfig(
    invert_steps=2,
    invert_frames=1,
    coarse_steps=2,
    tune_steps=4,
    tune_frames=1,
    checkpoint_steps=3,
    half=False,
)


@pytest.fixture
def subject(tmp_path):
    return write_ball_subject(tmp_path / "ball", frames=30)


@pytest.fixture
def prior(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig.tiny())
    save_generator(tmp_path / "prior.safetensors", generator)
    return tmp_path / "prior.safetensors"


def _fitted(subject, prior, config, state):
    return list(personalize(subject, prior, config, state=state))[-1][-1]


@pytest.mark.parametrize("frames", [1, 2])
def test_planes_with_detail_cost_no_copy_to_sample(prior, frames):
    person = average_person(load_generator(prior))
    w = person.styles(torch.zeros(frames, 13), torch.zeros(frames, 4))
    assert person.planes(w).permute(0, 3, 4, 1, 2).is_contiguous()


@pytest.mark.parametrize("frames", [1, 3])
def test_refined_planes_and_their_gradients_are_those_of_plain_arithmetic(
    prior, frames
):
    person, chance = average_person(load_generator(prior)), torch.Generator()
    rules = person.generator.config
    shape = frames, 3, rules.plane_channels, rules.plane_size, rules.plane_size
    coarse = torch.randn(shape, generator=chance, requires_grad=True)
    detail = torch.randn(person.detail.shape, generator=chance, requires_grad=True)
    flat = torch.nn.functional.interpolate(
        coarse.flatten(1, 2), size=detail.shape[-2:], mode="bilinear"
    )
    plain = flat.unflatten(1, (3, -1)) + detail
    refined = replace(person, detail=detail).refined(coarse)
    torch.testing.assert_close(refined, plain)
    weight = torch.randn(plain.shape, generator=chance)
    wanted, found = (
        torch.autograd.grad((planes * weight).sum(), (coarse, detail))
        for planes in (plain, refined)
    )
    torch.testing.assert_close(found, wanted)


def test_denormal_numbers_are_dropped_inside_only():
    small = torch.tensor(1e-30)
    with denormals_dropped():
        assert (small * 1e-10).item() == 0
        with denormals_dropped():
            pass
        assert (small * 1e-10).item() == 0
    assert (small * 1e-10).item() > 0


def test_fitting_leaves_the_arithmetic_of_its_caller(subject, prior, tmp_path):
    config = replace(CONFIG, invert_steps=1, coarse_steps=1, tune_steps=1)
    for _ in personalize(subject, prior, config, state=tmp_path / "a.state"):
        assert (torch.tensor(1e-30) * 1e-10).item() > 0


def test_a_resumed_fit_equals_an_uninterrupted_one(subject, prior, tmp_path):
    whole = _fitted(subject, prior, CONFIG, tmp_path / "a.state")
    steps = personalize(subject, prior, CONFIG, state=tmp_path / "b.state")
    for _ in range(7):
        next(steps)
    steps.close()
    resumed = _fitted(subject, prior, CONFIG, tmp_path / "b.state")
    for name, value in person_state(whole).items():
        torch.testing.assert_close(person_state(resumed)[name], value, atol=0, rtol=0)


def test_a_stage_that_is_done_is_not_done_again(subject, prior, tmp_path):
    config = replace(CONFIG, checkpoint_steps=1000)
    steps = personalize(subject, prior, config, state=tmp_path / "a.state")
    for stage, *_ in steps:
        if stage == "tune":
            break
    steps.close()
    again = personalize(subject, prior, config, state=tmp_path / "a.state")
    assert next(again)[:2] == ("tune", 1)
    again.close()


def test_the_state_of_another_person_or_prior_is_refused(subject, prior, tmp_path):
    state = tmp_path / "a.state"
    _fitted(subject, prior, replace(CONFIG, invert_steps=1, coarse_steps=1), state)
    config = replace(CONFIG, invert_steps=1, coarse_steps=1)
    with pytest.raises(ValueError, match=r"a\.state was begun with another seed"):
        _fitted(subject, prior, replace(config, seed=1), state)
    _fitted(subject, prior, replace(config, minutes=9.0, checkpoint_steps=1), state)
    other = write_ball_subject(tmp_path / "other", frames=12)
    with pytest.raises(ValueError, match="begun with another subject"):
        _fitted(other, prior, config, state)
    torch.manual_seed(5)
    save_generator(tmp_path / "new.safetensors", Generator(GeneratorConfig.tiny()))
    with pytest.raises(ValueError, match="begun with another prior"):
        _fitted(subject, tmp_path / "new.safetensors", config, state)
    state.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="no state of a training, or it is damaged"):
        _fitted(subject, prior, config, state)


def test_priors_that_cannot_be_fitted_are_named(subject, tmp_path):
    tiny, path = GeneratorConfig.tiny(), tmp_path / "prior.safetensors"
    bare = replace(tiny, superres=replace(tiny.superres, alpha=False))
    save_generator(path, Generator(bare))
    with pytest.raises(ValueError, match="shows no matte, as published"):
        _fitted(subject, path, CONFIG, tmp_path / "a.state")
    fine = replace(tiny, superres=replace(tiny.superres, doublings=2))
    save_generator(path, Generator(fine))
    with pytest.raises(
        ValueError, match=r"32 pixels per side and the prior .* 64: prep"
    ):
        _fitted(subject, path, CONFIG, tmp_path / "a.state")


def test_a_fit_begins_with_what_its_encoder_says(subject, prior, tmp_path):
    torch.manual_seed(1)
    network = Encoder(EncoderConfig.tiny())
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, network, prior=file_sha256(prior), step=1)
    config = replace(CONFIG, invert_steps=1)
    steps = personalize(
        subject, prior, config, state=tmp_path / "e.state", encoder=path
    )
    person = next(steps)[-1]
    generator = load_generator(prior)
    store = FrameStore(subject, subject.train)
    draws = first_draws(generator, load_encoder(path), store)
    torch.testing.assert_close(person.z, generator.codes(draws))
    average = next(personalize(subject, prior, config, state=tmp_path / "f.state"))[-1]
    assert not torch.allclose(person.z, average.z)


def test_an_encoder_of_another_prior_is_refused(subject, prior, tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, Encoder(EncoderConfig.tiny()), prior="00", step=1)
    with pytest.raises(ValueError, match="codes of another prior"):
        next(personalize(subject, prior, CONFIG, state=tmp_path / "g", encoder=path))


def test_tuning_brings_the_pictures_closer(subject, prior, tmp_path):
    batch = FrameStore(subject, subject.train).batch([0, 7, 14])

    def error(steps):
        config = replace(CONFIG, tune_steps=steps, learning_rate=5e-3)
        return compare(_fitted(subject, prior, config, tmp_path / f"{steps}.state"))

    @torch.no_grad()
    def compare(person):
        network = person.generator
        w = person.styles(batch.face, batch.gaze)
        rendering = network.render(
            person.planes(w), batch.camera, network.sampling(), neck=batch.neck
        )
        picture = network.upsample(rendering, w)
        return (picture - batch.premultiplied()).abs().mean()

    assert error(51) < 0.7 * error(1)


def test_a_person_survives_its_file(subject, prior, tmp_path):
    person = _fitted(subject, prior, CONFIG, tmp_path / "d.state")
    path = tmp_path / "person.safetensors"
    save_person(path, person, subject=subject.path, prior=prior)
    loaded = load_person(path)
    for name, value in person_state(person).items():
        # stored in float16
        torch.testing.assert_close(
            person_state(loaded)[name], value, atol=1e-3, rtol=2e-3
        )


def test_a_person_learns_to_speak_from_the_own_recording_only(subject, prior, tmp_path):
    person = average_person(load_generator(prior))
    path, other = tmp_path / "person.safetensors", tmp_path / "other"
    save_person(path, person, subject=subject.path, prior=prior)
    write_ball_subject(other, frames=5)
    config, out = AnimatorTrainConfig(), tmp_path / "avatar.safetensors"
    with pytest.raises(ValueError, match="was fitted to another recording than"):
        train_subject(other, path, out, config, lambda *_: None)
    assert not out.exists()


def test_another_kind_of_file_is_refused(prior):
    with pytest.raises(ValueError, match="holds a prior where a generator is needed"):
        load_person(prior)
