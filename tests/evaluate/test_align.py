"""A result's place and lag are found, and a lag is never hidden."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from talk3d.evaluate.align import Place, find_lag, find_place

RATE, FPS = 16_000, 25.0


def _sound(seconds: float, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def _pictures(frames: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((frames, 12, 12))
    return gaussian_filter1d(noise, 2, axis=0).astype(np.float32)


def _place(result, truth, counts=(100, 50, 250), first=200) -> Place:
    return find_place(result, truth, counts=counts, first=first, fps=FPS)


def test_the_judged_part_alone_begins_at_once():
    sound = _sound(10)
    place = _place(sound[8 * RATE :], sound[8 * RATE :], counts=(50, 50, 250))
    assert (place.start, place.how) == (0, "by its sound")
    assert place.sound_late == pytest.approx(0, abs=1e-4)


def test_the_whole_recording_is_entered_at_the_judged_part():
    sound = _sound(10)
    place = _place(sound, sound[8 * RATE :], counts=(250, 50, 250))
    assert place.start == 200


def test_late_sound_is_reported_not_followed():
    sound = _sound(2)
    late = np.concatenate([np.zeros(1600), sound])
    place = _place(late, sound, counts=(50, 50, 250))
    assert place.start == 0
    assert place.sound_late == pytest.approx(0.1, abs=1e-3)


def test_an_excerpt_is_found_by_its_sound_alone():
    sound = _sound(12)
    place = _place(sound, sound[4 * RATE : 6 * RATE], counts=(300, 50, 250))
    assert (place.start, place.how) == (100, "by its sound alone")


@pytest.mark.parametrize(
    ("counts", "start"), [((249, 50, 250), 200), ((51, 50, 250), 0), ((99, 50, 250), 0)]
)
def test_without_the_same_sound_the_length_decides(counts, start):
    assert _place(None, _sound(2), counts=counts).start == start
    assert _place(_sound(4, 1), _sound(2), counts=counts).start == start


def test_common_moments_are_those_both_show():
    assert Place(3, 50, "").common(50) == range(47)
    assert Place(-2, 50, "").common(50) == range(2, 50)


@pytest.mark.parametrize("late", [-4, 0, 1, 5])
def test_a_lag_in_frames_is_found_and_removed(late):
    scene = _pictures(80)
    truth, result = scene[10:60], scene[10 - late : 60 - late]
    lag = find_lag(result, truth, fps=FPS)
    assert lag.removed == late
    assert lag.seconds == pytest.approx(late / FPS, abs=0.002)


def test_half_frames_are_reported():
    scene = _pictures(80)
    result = (scene[9:59] + scene[10:60]) / 2
    lag = find_lag(result, scene[10:60], fps=FPS)
    assert lag.seconds == pytest.approx(0.02, abs=0.006)


def test_nothing_moves_nothing_found():
    lag = find_lag(np.zeros((50, 12, 12), np.float32), _pictures(50), fps=FPS)
    assert np.isnan(lag.seconds)
    assert lag.removed == 0


def test_unlike_pictures_are_not_shifted():
    for seed in range(5):
        lag = find_lag(_pictures(50, seed + 1), _pictures(50), fps=FPS)
        assert lag.correlation < 0.3
        assert lag.removed == 0
