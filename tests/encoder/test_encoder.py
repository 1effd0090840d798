"""The encoder: tells who is shown, survives its file, starts a fit closer."""

import json
from dataclasses import asdict, replace
from itertools import islice

import numpy as np
import pytest
import torch
from tests.drawn import write_ball_corpus, write_ball_subject

from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.generator import Generator
from talk3d.encoder.network import (
    Encoder,
    EncoderConfig,
    embed,
    load_encoder,
    save_encoder,
)
from talk3d.encoder.train import EncoderTrainConfig, altered, train_encoder
from talk3d.frames import FrameStore
from talk3d.interrupted import StateFile
from talk3d.personalize import first_draws

PEOPLE = 30
CONFIG = EncoderTrainConfig(
    network=EncoderConfig.tiny(),
    steps=300,
    people=8,
    learning_rate=3e-3,
    yaw=90.0,
    held_out=2,
    half=False,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "corpus"
    return Corpus.open(write_ball_corpus(path, people=PEOPLE))


@pytest.fixture(scope="module")
def codes():
    """Codes that say of a ball its colour, drawn as the corpus draws it."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(PEOPLE):
        rows.append(rng.uniform(0.3, 1.0, 3))
        rng.uniform(-1, 1, 3)
    codes = torch.zeros(PEOPLE, 16)
    codes[:, :3] = torch.tensor(np.array(rows)).float()
    return codes + 0.01 * torch.randn(codes.shape, generator=chance())


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(corpus, rows):
    batch = corpus.batch(rows)
    colour = (batch.colour + 1) / 2 * batch.alpha
    return torch.cat([colour, batch.alpha], dim=1) * 2 - 1


def test_it_tells_who_is_shown(corpus, codes):
    network = list(train_encoder(corpus, codes, CONFIG))[-1][2]
    with torch.no_grad():
        told = network(pictures(corpus, list(range(12))))
    wanted = codes[:4, :3].repeat_interleave(3, dim=0)
    error = (told.code[:, :3] - wanted).square().mean()
    average = (codes[:, :3].mean(0) - wanted).square().mean()
    assert error < 0.5 * average
    alike = told.embedding @ told.embedding.T
    same = torch.eye(4).repeat_interleave(3, 0).repeat_interleave(3, 1) > 0
    assert alike[same].mean() > alike[~same].mean() + 0.2


def test_training_repeats(corpus, codes):
    config = replace(CONFIG, steps=3)
    first, second = (
        list(train_encoder(corpus, codes, config))[-1][2].state_dict() for _ in "ab"
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=0, rtol=0)


def test_a_resumed_training_equals_an_uninterrupted_one(corpus, codes, tmp_path):
    config = replace(CONFIG, steps=5)
    whole = list(train_encoder(corpus, codes, config))[-1][2].state_dict()
    state = StateFile(tmp_path / "e.state", every=2)
    begun = train_encoder(corpus, codes, config, state=state)
    list(islice(begun, 3))
    rest = list(train_encoder(corpus, codes, config, state=state))
    assert [step for step, _, _ in rest] == [3, 4, 5]
    for name, value in rest[-1][2].state_dict().items():
        torch.testing.assert_close(whole[name], value, atol=0, rtol=0)


def test_the_state_of_another_training_is_refused(corpus, codes, tmp_path):
    config = replace(CONFIG, steps=3)
    state = StateFile(tmp_path / "e.state", every=1)
    list(train_encoder(corpus, codes, config, state=state))
    with pytest.raises(ValueError, match="another configuration"):
        next(train_encoder(corpus, codes, replace(config, seed=1), state=state))
    with pytest.raises(ValueError, match="another prior"):
        next(train_encoder(corpus, codes + 1, config, state=state))


def test_too_few_people_are_named(corpus, codes):
    config = replace(CONFIG, people=29)
    with pytest.raises(
        ValueError, match="28 people twice from the front, 29 are needed"
    ):
        next(train_encoder(corpus, codes, config))


def test_codes_of_another_corpus_are_named(corpus, codes):
    with pytest.raises(ValueError, match=r"codes of 29 people.* shows 30: give"):
        next(train_encoder(corpus, codes[1:], CONFIG))


def test_altered_pictures_are_premultiplied_pictures():
    colour = torch.rand(6, 3, 64, 64, generator=chance())
    alpha = torch.ones(6, 1, 64, 64)
    changed = altered(colour, alpha, 32, chance())
    assert changed.shape == (6, 4, 32, 32)
    straight, matte = (changed[:, :3] + 1) / 2, (changed[:, 3:] + 1) / 2
    assert straight.min() >= -1e-6
    assert (straight <= matte + 1e-5).all()
    torch.testing.assert_close(altered(colour, alpha, 32, chance()), changed)
    assert not torch.allclose(altered(colour, alpha, 32, chance(1)), changed)


def test_the_file_brings_back_what_was_told(tmp_path):
    torch.manual_seed(0)
    network = Encoder(EncoderConfig.tiny())
    save_encoder(tmp_path / "e.safetensors", network, prior="00", step=1)
    loaded = load_encoder(tmp_path / "e.safetensors")
    picture = torch.rand(2, 4, 48, 48, generator=chance()) * 2 - 1
    with torch.no_grad():
        first, second = network(picture), loaded(picture)
    torch.testing.assert_close(first.code, second.code, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(first.embedding.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(second.camera.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, "at least one"),
        ({"widths": (16, 20)}, "a multiple of 16"),
        ({"size": 36}, "a multiple of 8"),
        ({"embedding": 0}, "1 to 4096"),
        ({"z_dim": 10**6}, "1 to 4096"),
        ({"size": 2**13}, "give fewer"),
        ({"widths": (16, 16, 8192)}, "at most 4096"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(EncoderConfig.tiny(), **change)


@pytest.mark.parametrize(
    "change", [{"widths": 16}, {"size": "32"}, {"size": True}, {"depth": 3}]
)
def test_a_header_of_another_form_is_refused(change):
    plain = json.loads(json.dumps(asdict(EncoderConfig.tiny())))
    assert EncoderConfig.from_json(plain) == EncoderConfig.tiny()
    with pytest.raises(ValueError, match="whole numbers"):
        EncoderConfig.from_json(plain | change)


def test_weights_of_other_sizes_are_refused(tmp_path):
    encoder = Encoder(EncoderConfig.tiny())
    encoder.config = replace(encoder.config, embedding=9)
    save_encoder(tmp_path / "e.safetensors", encoder, prior="0" * 64, step=1)
    with pytest.raises(ValueError, match="do not fit"):
        load_encoder(tmp_path / "e.safetensors")


def test_draws_undo_codes():
    generator = Generator(GeneratorConfig.tiny())
    generator.set_spread(torch.randn(40, 16, generator=chance()))
    draws = torch.randn(3, 16, generator=chance(1))
    codes = generator.codes(draws)
    torch.testing.assert_close(generator.draws(codes, 1e-6), draws, atol=1e-2, rtol=0)
    far = generator.draws(codes, 1e6)
    assert far.abs().max() < 1e-3


def test_a_fit_begins_with_the_mean_of_what_the_frames_say(tmp_path):
    subject = write_ball_subject(tmp_path / "ball", frames=30)
    store = FrameStore(subject, subject.train)
    torch.manual_seed(0)
    prior, network = Generator(GeneratorConfig.tiny()), Encoder(EncoderConfig.tiny())
    prior.set_spread(torch.randn(40, 16, generator=chance()))
    draws = first_draws(prior, network, store)
    rows = torch.linspace(0, len(store) - 1, 8).long().tolist()
    with torch.no_grad():
        code = network(store.batch(rows).premultiplied()).code.mean(0, keepdim=True)
    torch.testing.assert_close(draws, prior.draws(code))


def test_straight_pictures_are_embedded_as_premultiplied_ones():
    torch.manual_seed(0)
    network = Encoder(EncoderConfig.tiny())
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 4)).astype(np.uint8)
    hidden = picture.copy()
    hidden[picture[..., 3] == 0, :3] = 7
    straight = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    seen = torch.cat([straight[:, :3] * straight[:, 3:], straight[:, 3:]], dim=1)
    with torch.no_grad():
        wanted = network(seen * 2 - 1).embedding[0].numpy()
    np.testing.assert_allclose(embed(network, picture), wanted, atol=1e-6)
    np.testing.assert_allclose(embed(network, hidden), wanted, atol=1e-6)
