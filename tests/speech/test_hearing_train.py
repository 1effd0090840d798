"""Training of the hearing network, and the changes of its speech."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from tests.drawn import write_speech_corpus

from talk3d.audio import MelConfig, log_mel, power_spectra
from talk3d.interrupted import StateFile
from talk3d.speech.augment import AugmentConfig, augment, plain
from talk3d.speech.network import load_hearing
from talk3d.speech.train import (
    HearingTrainConfig,
    SpeechCorpus,
    save_hearing,
    train_hearing,
)


@pytest.fixture
def folder(tmp_path):
    return write_speech_corpus(tmp_path)


CONFIG = HearingTrainConfig(steps=60, batch=4, frames=120, half=False)


def test_training_learns_and_repeats(folder, tmp_path):
    corpus = SpeechCorpus(folder)
    runs = [list(train_hearing(corpus, CONFIG)) for _ in range(2)]
    losses = [terms["phone"] for _, terms, _ in runs[0]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert losses == [terms["phone"] for _, terms, _ in runs[1]]
    network = runs[0][-1][2]
    save_hearing(tmp_path / "h.safetensors", network, corpus, step=60)
    again = load_hearing(tmp_path / "h.safetensors")
    features = torch.rand(1, 50, 80)
    torch.testing.assert_close(again(features), network(features), atol=0.05, rtol=0.05)


def test_a_resumed_training_equals_an_uninterrupted_one(folder, tmp_path):
    corpus = SpeechCorpus(folder)
    config = replace(CONFIG, steps=5)
    whole = list(train_hearing(corpus, config))[-1][2].state_dict()
    state = StateFile(tmp_path / "h.state", every=2)
    begun = train_hearing(corpus, config, state=state)
    list(islice(begun, 3))
    rest = list(train_hearing(corpus, config, state=state))
    assert [step for step, _, _ in rest] == [3, 4, 5]
    for name, value in rest[-1][2].state_dict().items():
        torch.testing.assert_close(whole[name], value, atol=0, rtol=0)


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch": 0}, {"frames": -1}])
def test_a_training_of_nothing_is_refused(change):
    with pytest.raises(ValueError, match="give at least 1 of each"):
        replace(CONFIG, **change)


def test_no_corpus_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="synth speech"):
        SpeechCorpus(tmp_path)


def test_plain_powers_give_the_features_of_the_sound():
    wave = 0.1 * torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    features = plain(power_spectra(wave)[None], MelConfig())[0]
    torch.testing.assert_close(features, log_mel(wave, MelConfig()))


def test_changes_stay_speech_like_and_repeat():
    wave = 0.1 * torch.randn(48_000, generator=torch.Generator().manual_seed(1))
    power = power_spectra(wave)[None].repeat(8, 1, 1)
    results = [
        augment(
            power,
            AugmentConfig(),
            MelConfig(),
            generator=torch.Generator().manual_seed(s),
        )
        for s in (0, 0, 1)
    ]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.isfinite(results[0]).all()
    assert 0.2 < results[0].mean() < 4
    # Eight copies of one sound are eight different recordings.
    assert (results[0][0] - results[0][1]).abs().mean() > 0.05


def test_nothing_changes_where_nothing_may():
    off = AugmentConfig(
        warp=0.0,
        equaliser_db=0.0,
        band_chance=0.0,
        room_chance=0.0,
        noise_chance=0.0,
        babble_chance=0.0,
        masks=0,
    )
    wave = 0.1 * torch.randn(48_000, generator=torch.Generator().manual_seed(1))
    power = power_spectra(wave)[None]
    changed = augment(power, off, MelConfig(), generator=torch.Generator())
    # Only the level differs, which the features do not show after a moment.
    same = plain(power, MelConfig())
    torch.testing.assert_close(changed[:, 50:], same[:, 50:], atol=0.02, rtol=0.02)
