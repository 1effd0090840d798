"""What is heard of a recording does not depend on how it is cut into pieces."""

import numpy as np
import pytest

from talk3d.preprocess import hearing
from talk3d.preprocess.hearing import tone_share

RATE = 16_000


def _chord(seconds):
    times = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * 440 * times) + np.sin(2 * np.pi * 700 * times)
    return (0.2 * tones).astype(np.float32)


def _noise(seconds):
    chance = np.random.default_rng(0)
    return chance.normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def test_held_tones_are_music_and_noise_is_not():
    assert tone_share(_chord(6)) > 0.9
    assert tone_share(_noise(6)) == 0
    assert tone_share(np.concatenate([_chord(20), _noise(60)])) == pytest.approx(
        0.25, abs=0.02
    )


@pytest.mark.parametrize("block", [20, 64])
def test_a_sound_is_heard_alike_in_blocks_of_any_length(monkeypatch, block):
    parts = [_chord(1.3), _noise(0.9), 0.1 * _chord(1.1), _noise(0.7), _chord(0.8)]
    wave = np.concatenate(parts)
    whole = tone_share(wave)
    monkeypatch.setattr(hearing, "_BLOCK", block)
    assert 0 < whole < 1
    assert tone_share(wave) == whole
