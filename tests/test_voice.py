"""Voices: sound tells lips where it can, and the mean where it cannot."""

import numpy as np
import pytest
import torch
from tests.listening import Telling

from talk3d.lips import LIP_POINTS, common_lips, lip_rim
from talk3d.speech.network import MOUTH
from talk3d.synthetic.articulation import articulate, lip_contact, split_phonemes
from talk3d.synthetic.head import EXPRESSIONS
from talk3d.synthetic.speech import bundled_speech
from talk3d.voice import Voice, fit_voice, told_share

RATE, FPS, SECONDS = 16_000, 25.0, 12


def _talk(seed):
    """Noise whose brightness and loudness follow two slow signals."""
    rng = np.random.default_rng(seed)
    frames = int(SECONDS * FPS)
    path = np.cumsum(rng.normal(size=(frames + 50, 2)), axis=0)
    smooth = np.stack([np.convolve(p, np.ones(9) / 9, "same") for p in path.T], -1)
    lips = (smooth - smooth.mean(0)) / smooth.std(0)
    lips = lips[25 : 25 + frames]
    time = np.arange(SECONDS * RATE) / RATE
    value = [np.interp(time, (np.arange(frames) + 0.5) / FPS, row) for row in lips.T]
    noise = rng.normal(size=len(time))
    bright = np.diff(noise, prepend=0.0)
    share = 1 / (1 + np.exp(-value[0]))
    wave = (share * bright + (1 - share) * noise) * np.exp(0.5 * value[1]) * 0.05
    times = (np.arange(frames) + 0.5) / FPS
    return wave.astype(np.float32), times, lips


@pytest.fixture(scope="module")
def fitted():
    """A talk, its voice, and the lips that were told unseen."""
    wave, times, lips = _talk(0)
    voice, told = fit_voice(wave, times, lips)
    return wave, times, lips, voice, told


def test_new_sound_tells_the_lips(fitted):
    voice = fitted[3]
    other, moments, truth = _talk(1)
    found = voice.lips(other, moments).numpy()
    assert np.corrcoef(found[:, 0], truth[:, 0])[0, 1] > 0.8


def test_held_out_lips_are_as_wrong_as_those_of_new_sound(fitted):
    lips, voice, told = fitted[2:]
    other, moments, truth = _talk(1)
    new = ((voice.lips(other, moments).numpy() - truth) ** 2).mean()
    held = ((told - lips) ** 2).mean()
    assert 0.5 < held / new < 2


def test_sound_that_tells_nothing_gives_the_mean():
    wave, times, _ = _talk(0)
    lips = np.random.default_rng(5).normal(2.0, 1.0, (len(times), 3))
    voice, _ = fit_voice(wave, times, lips)
    found = voice.lips(wave, times).numpy()
    assert np.abs(found - lips.mean(0)).mean() < 0.3


def test_lips_that_follow_no_sound_talk_as_anybodys():
    wave = bundled_speech().wave[: SECONDS * RATE]
    times, noise = (np.arange(SECONDS * FPS) + 0.5) / FPS, np.random.default_rng(5)
    lips = 20 + 6 * noise.normal(size=(len(times), 80))
    still, _ = fit_voice(wave, times, lips)
    moved, _ = fit_voice(wave, times, lips, common=common_lips())
    motion = [voice.lips(wave, times).numpy().std(0).mean() for voice in (still, moved)]
    assert motion[1] > 3 * motion[0]


def test_lips_of_a_silent_recording_are_the_middle_of_what_is_said():
    wave = bundled_speech().wave[: SECONDS * RATE]
    times = (np.arange(SECONDS * FPS) + 0.5) / FPS
    lips = 20 + np.random.default_rng(5).normal(size=(len(times), 80))
    silent, _ = fit_voice(np.zeros_like(wave), times, lips, common=common_lips())
    told = silent.lips(wave, times).numpy() @ lip_rim()
    assert told.std() > 1
    assert abs(told.mean() - np.median(lips @ lip_rim())) < 0.5 * told.std()


def test_the_common_mouth_opens_with_the_jaw():
    jaw = common_lips()[MOUTH.index("jawOpen")].reshape(-1, 2)
    upper, lower = LIP_POINTS.index(13), LIP_POINTS.index(14)
    assert jaw[upper, 1] - jaw[lower, 1] > 1


def test_a_moment_does_not_depend_on_the_others(fitted):
    wave, times, _, voice, _ = fitted
    together = voice.lips(wave, times)[100:101]
    alone = voice.lips(wave, times[100:101])
    torch.testing.assert_close(together, alone)


def test_a_long_sound_is_heard_piece_by_piece_as_at_once(fitted, monkeypatch):
    wave, times, _, voice, _ = fitted
    long = np.tile(wave, 3)
    moments = (np.arange(3 * len(times)) + 0.5) / FPS
    at_once = voice.lips(long, moments)
    monkeypatch.setattr("talk3d.voice._PIECE", 110)
    torch.testing.assert_close(voice.lips(long, moments), at_once, atol=1e-4, rtol=0)


def test_late_sound_is_found_and_speech_in_time_is_not_shifted():
    """The bundled speech, its own mouth, and the same sound moved by 80 ms."""
    speech = bundled_speech()
    times = np.arange(int(speech.seconds * FPS)) / FPS + 0.02
    weights = articulate(split_phonemes(speech.phonemes), times)
    lips = 10 * weights[:, weights.std(0) > 0.02]
    late = np.pad(speech.wave, (1280, 0))[: len(speech.wave)]
    first, told = fit_voice(speech.wave, times, lips)
    second, _ = fit_voice(late, times, lips)
    assert abs(float(first.delay)) <= 0.02
    assert abs(float(second.delay) - float(first.delay) - 0.08) <= 0.021
    # Known speech: the held-out mouth follows closely.
    assert ((told - lips) ** 2).sum() < 0.5 * ((lips - lips.mean(0)) ** 2).sum()
    replayed = second.lips(late, times).numpy()
    in_time = second.in_time().lips(speech.wave, times).numpy()
    assert np.corrcoef(replayed.ravel(), in_time.ravel())[0, 1] > 0.9


def test_a_few_grimaces_do_not_bend_the_rest(fitted):
    wave, times, lips, calm, _ = fitted
    bent = lips.copy()
    bent[40:52] += 30.0
    wild, _ = fit_voice(wave, times, bent)
    other, moments, truth = _talk(1)
    errors = [
        ((voice.lips(other, moments).numpy() - truth) ** 2).mean()
        for voice in (calm, wild)
    ]
    assert errors[1] < 1.5 * errors[0]


def test_a_speech_model_that_knows_the_lips_is_believed(fitted):
    wave, times, _, _, _ = fitted
    lips = np.random.default_rng(5).normal(2.0, 1.0, (len(times), 3))
    model = Telling.of(lips @ np.array([[1.0, 2, 0], [0, 1, 1], [2, 0, 1]]) + 7)
    voice, told = fit_voice(wave, times, lips, model=model)
    for found in (told, voice.lips(wave, times).numpy()):
        assert ((found - lips) ** 2).mean() < 0.1


def test_a_speech_model_that_knows_nothing_is_not_asked(fitted):
    wave, times, lips, voice, told = fitted
    noise = np.random.default_rng(5).normal(size=(len(times), 40))
    deaf, told_again = fit_voice(wave, times, lips, model=Telling.of(noise))
    assert not deaf.weight[len(voice.weight) :].any()
    np.testing.assert_allclose(told_again, told, atol=1e-5)
    torch.testing.assert_close(
        deaf.lips(wave, times), voice.lips(wave, times), atol=1e-4, rtol=0
    )


def test_lips_that_smiled_for_a_while_rest_as_they_mostly_were():
    wave, times, _ = _talk(0)
    chance = np.random.default_rng(5)
    lips = chance.normal(0, 1, (len(times), 3))
    lips[: 2 * len(lips) // 5] += 8
    voice, _ = fit_voice(wave, times, lips)
    found = voice.lips(wave, times).numpy().mean(0)
    assert np.median(lips, axis=0).min() > 0.7
    assert np.abs(found).max() < 0.4


def test_articulation_moves_the_lips_more_about_the_same_rest(fitted):
    wave, times, _, voice, _ = fitted
    told, more, none = (
        voice.articulated(gain).lips(wave, times) for gain in (1.0, 1.5, 0.0)
    )
    torch.testing.assert_close(none, voice.bias.expand_as(none))
    torch.testing.assert_close(more - none, 1.5 * (told - none))


def test_a_voice_survives_its_state(fitted):
    wave, times, _, voice, _ = fitted
    again = Voice(**voice.state())
    torch.testing.assert_close(again.lips(wave, times), voice.lips(wave, times))


def test_lips_shut_where_p_b_or_m_is_heard():
    """The bundled speech; a mouth that a linear map leaves open at closures."""
    speech = bundled_speech()
    times = np.arange(int(speech.seconds * FPS)) / FPS + 0.02
    phonemes = split_phonemes(speech.phonemes)
    weights = articulate(phonemes, times)
    shut = lip_contact(phonemes, times, sounds="pbm") > 0.9
    gap = 10 * weights[:, EXPRESSIONS.index("jawOpen")] * ~shut
    lips = np.stack([gap, 20 * weights[:, EXPRESSIONS.index("mouthFunnel")]], 1)
    free, _ = fit_voice(speech.wave, times, lips)
    voice, _ = fit_voice(speech.wave, times, lips, rim=np.array([1.0, 0.0]))
    open_gap, gap_told = (
        v.lips(speech.wave, times).numpy()[:, 0] for v in (free, voice)
    )
    assert np.median(gap_told[shut]) < 0.5 * np.median(open_gap[shut])
    assert np.corrcoef(gap_told, gap)[0, 1] > np.corrcoef(open_gap, gap)[0, 1] - 0.02


def test_the_rim_measures_the_gap():
    shapes = np.zeros((1, 40, 2), np.float32)
    upper = [LIP_POINTS.index(k) for k in (81, 82, 13, 312, 311)]
    shapes[0, upper, 1] = 3.0
    assert shapes.reshape(1, 80) @ lip_rim() == pytest.approx(3.0)


def test_told_share_is_that_of_quick_movement():
    times = np.arange(400) / 25
    lips = np.random.default_rng(0).normal(size=(400, 6))
    slow = np.sin(times / 3)[:, None]
    share = told_share(0.3 * lips + slow, lips - slow, times)
    assert share == pytest.approx(0.3, abs=0.02)
    assert told_share(np.ones((400, 6)), lips, times) == pytest.approx(0, abs=1e-6)
    assert told_share(lips, np.ones((400, 6)), times) == 1.0
