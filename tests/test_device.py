"""Where networks run: the choice, and that nothing is left behind on the other side."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_subject
from tests.elsewhere import CARD, Elsewhere, PretendedCard
from torch import nn
from torch.nn import functional

from talk3d import guard, precision, registration
from talk3d.animator.extras import ExtraWeights
from talk3d.animator.train import (
    AnimatorTrainConfig,
    fresh_animator,
    train_animator,
)
from talk3d.avatar import Avatar, load_avatar, save_avatar
from talk3d.checkpoint import file_sha256
from talk3d.device import CPU, best_device, chosen_device
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.encoder.network import Encoder, EncoderConfig, save_encoder
from talk3d.explain import explain
from talk3d.person import average_person, load_person, person_state, save_person
from talk3d.personalize import PersonalizeConfig, personalize
from talk3d.pipeline import yaw_sheet
from talk3d.registration import register
from talk3d.view import View

FIT = PersonalizeConfig(
    invert_steps=2, coarse_steps=2, tune_steps=4, checkpoint_steps=3, half=False
)
LEARN = AnimatorTrainConfig(
    steps=3,
    checkpoint_steps=2,
    half=False,
    extras=ExtraWeights(adversarial=0.1, reprojection=1.0, temporal=1.0),
)
WAVE = np.sin(np.arange(3200) / 9).astype(np.float32)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    return write_ball_subject(tmp_path_factory.mktemp("device") / "ball", frames=30)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    path = tmp_path_factory.mktemp("device") / "prior.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_generator(path, Generator(GeneratorConfig.tiny()))
    return path


@pytest.fixture
def card(monkeypatch):
    """A card that is not there, in float32 on every machine, and a quick guard."""
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda _: False)
    monkeypatch.setattr(guard, "_YAWS", (-150, 80))
    monkeypatch.setattr(guard, "_EVEN", 500)
    monkeypatch.setattr(guard, "_SIDE", 16)
    with PretendedCard():
        yield CARD


@pytest.mark.parametrize(("there", "best"), [(True, "cuda"), (False, "cpu")])
def test_a_card_is_taken_where_there_is_one(monkeypatch, there, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert best_device().type == chosen_device("auto").type == best
    assert chosen_device("cpu") == CPU


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no CUDA card on this machine"):
        chosen_device("cuda")
    with pytest.raises(ValueError, match="'gpu' is not known: give auto, cpu or cuda"):
        chosen_device("gpu")


RULES = {
    "both there": (lambda a, b, n: a + a, True),
    "one here": (lambda a, b, n: a + b, False),
    "a number here": (lambda a, b, n: a * n, True),
    "chosen here": (lambda a, b, n: torch.where(b > 0, a, a), False),
    "product": (lambda a, b, n: a @ b, False),
    "function": (lambda a, b, n: functional.l1_loss(a, b), False),
    "joined": (lambda a, b, n: torch.cat([a, b]), False),
    "fetched": (lambda a, b, n: a.cpu() + b, True),
    "made there": (lambda a, b, n: a + torch.ones(3, 3, device=CARD), True),
    "made like": (lambda a, b, n: a + torch.ones_like(a) + b.new_zeros(()), True),
}
"""What is done with tensors there and here and a number here, and if it may be."""
OWN_RULES = {
    "rows from here": (lambda a, b, n: a[n.long().view(1)], True),
    "rows from there": (lambda a, b, n: b[n.long().to(CARD)], False),
    "copied": (lambda a, b, n: a.copy_(b), True),
    "sent": (lambda a, b, n: a + b.to(CARD) + b.to(a), True),
    "made of numbers": (lambda a, b, n: a + a.new_tensor([1.0, 2.0, 3.0]), True),
    "views": (lambda a, b, n: a[:, :2].T.flatten(0) + b[0, 0], True),
    "numbers joined": (lambda a, b, n: torch.stack([a.sum(), n]), False),
}
"""Those that PyTorch's fake tensors cannot tell of where there is no card."""


def _refused(rule, there, here):
    try:
        rule(there, here, here[0, 0])
    except RuntimeError as error:
        if re.search("two different devices|same device", str(error)):
            return True
        raise
    return False


@pytest.mark.parametrize("name", RULES)
def test_fake_tensors_refuse_what_is_written_here(name):
    rule, fits = RULES[name]
    with torch._subclasses.FakeTensorMode():
        there, here = torch.ones(3, 3, device=CARD), torch.ones(3, 3)
        assert _refused(rule, there, here) != fits


@pytest.mark.parametrize("name", RULES | OWN_RULES)
def test_the_pretended_card_refuses_the_same(name):
    rule, fits = (RULES | OWN_RULES)[name]
    here = torch.ones(3, 3)
    with PretendedCard():
        assert _refused(rule, here.to(CARD), here) != fits


def test_numpy_and_generators_stay_here():
    with PretendedCard():
        there = torch.ones(2, device=CARD)
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        with pytest.raises(TypeError, match="to numpy"):
            np.asarray(there)
        with pytest.raises(RuntimeError, match="generator"):
            torch.randn(2, generator=torch.Generator(), device=CARD)


def test_networks_move_to_the_pretended_card_and_learn_there(card):
    network = nn.Linear(2, 1).to(card)
    copied = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    with pytest.raises(RuntimeError, match="same device"):
        network(torch.ones(1, 2))
    network(torch.ones(1, 2, device=card)).square().sum().backward()
    optimiser.step()
    assert all(isinstance(p, Elsewhere) for p in copied.parameters())
    assert not torch.equal(network.weight, copied.weight)


def _fitted(ball, prior, state, device, *, encoder=None, steps=None):
    fit = personalize(ball, prior, FIT, state=state, encoder=encoder, device=device)
    *_, (_, _, _, person) = itertools.islice(fit, steps)
    fit.close()
    return person


def _lies_there(person):
    return all(isinstance(value, Elsewhere) for value in person_state(person).values())


def test_a_person_is_fitted_on_the_card_and_the_fit_goes_on(
    card, ball, prior, tmp_path
):
    state = tmp_path / "a.state"
    assert _lies_there(_fitted(ball, prior, state, card, steps=7))
    person = _fitted(ball, prior, state, card)
    assert _lies_there(person)
    save_person(tmp_path / "me.safetensors", person, subject=ball.path, prior=prior)
    loaded = load_person(tmp_path / "me.safetensors", card)
    assert _lies_there(loaded)
    here = yaw_sheet(load_person(tmp_path / "me.safetensors")).astype(int)
    assert np.abs(yaw_sheet(loaded).astype(int) - here).max() <= 2


def test_a_fit_begins_there_with_what_an_encoder_says_here(card, ball, prior, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Encoder(EncoderConfig.tiny())
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, network, prior=file_sha256(prior), step=1)
    state = tmp_path / "a.state"
    assert _lies_there(_fitted(ball, prior, state, card, encoder=path, steps=1))


def test_poses_are_registered_on_the_card(card, ball, prior, tmp_path):
    found = []
    for device in (CPU, card):
        person = average_person(load_generator(prior).to(device))
        animator = fresh_animator(person, LEARN).to(device)
        easel = registration._Easel(ball, person, animator)
        colour, alpha, depth = easel._drawn(3)
        found.append(np.concatenate([colour.ravel(), 255 * alpha.ravel()]))
        assert depth.shape == alpha.shape == colour.shape[:2] == (32, 32)
        state = tmp_path / f"{device}.poses"
        steps = register(ball, person, animator, frames=range(30), state=state)
        assert [done for done, _, _ in steps] == list(range(31))
    assert np.abs(found[0] - found[1]).max() <= 2


def test_an_avatar_learns_and_speaks_on_the_card(card, ball, prior, tmp_path):
    person = average_person(load_generator(prior).to(card))
    state = tmp_path / "a.state"
    steps = train_animator(ball, person, LEARN, state=state)
    for _ in range(2):
        next(steps)
    steps.close()
    person = average_person(load_generator(prior).to(card))
    *_, (_, step, _, animator) = train_animator(ball, person, LEARN, state=state)
    assert step == LEARN.steps
    assert all(isinstance(value, Elsewhere) for value in animator.parameters())
    avatar = Avatar.of(ball, person, animator)
    save_avatar(tmp_path / "me.safetensors", avatar)
    here, there = (load_avatar(tmp_path / "me.safetensors", d) for d in (CPU, card))
    assert _lies_there(there.person)
    for text in ("recorded", "orbit"):
        _alike(
            *(np.stack(list(a.speak(WAVE, View.parse(text)))) for a in (here, there))
        )
    _alike(*(np.stack(list(a.replay(WAVE, range(3)))) for a in (here, there)))
    _alike(*(explain(a, WAVE, 2) for a in (here, there)))


def _alike(here, there):
    # Cards sample planes by another sum than the CPU.
    assert np.abs(here.astype(int) - there.astype(int)).max() <= 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")
def test_a_real_card_fits_learns_and_speaks(ball, prior, tmp_path):
    device = chosen_device("cuda")
    person = _fitted(ball, prior, tmp_path / "a.state", device)
    *_, (_, _, _, animator) = train_animator(
        ball, person, LEARN, state=tmp_path / "b.state"
    )
    assert {value.device.type for value in person_state(person).values()} == {"cuda"}
    save_avatar(tmp_path / "me.safetensors", Avatar.of(ball, person, animator))
    avatar = load_avatar(tmp_path / "me.safetensors", device)
    frames = np.stack(list(avatar.speak(WAVE, View.parse("recorded"))))
    assert frames.shape == (5, 32, 32, 4)
    assert explain(avatar, WAVE, 2).shape[0] == 64
