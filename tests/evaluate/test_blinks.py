"""Blinks, pauses and trembling against drawn signals."""

import numpy as np
import pytest

from talk3d.evaluate.blinks import (
    blink_error,
    blink_frames,
    blink_rate,
    quiet_frames,
    silence_motion,
)

FPS = 25.0


def _opening(*blinks: int, frames: int = 250) -> np.ndarray:
    eye = np.full(frames, 0.3)
    for frame in blinks:
        eye[frame - 2 : frame + 3] *= [0.6, 0.3, 0.05, 0.3, 0.6]
    return eye


def test_blinks_are_found_where_they_are():
    assert blink_frames(_opening(40, 120), fps=FPS).tolist() == [40, 120]
    assert blink_rate(_opening(40, 120), fps=FPS) == pytest.approx(12.0)


def test_unknown_frames_are_bridged():
    eye = _opening(40)
    eye[100:110] = np.nan
    assert blink_frames(eye, fps=FPS).tolist() == [40]
    assert len(blink_frames(np.full(50, np.nan), fps=FPS)) == 0


def test_a_long_look_down_is_no_blink():
    eye = np.full(250, 0.3)
    eye[50:80] = 0.05
    assert len(blink_frames(eye, fps=FPS)) == 0


def test_blinks_pair_once_and_within_a_fifth_of_a_second():
    truth = _opening(40, 120)
    assert blink_error(_opening(43, 118), truth, fps=FPS) == 0
    assert blink_error(_opening(40), truth, fps=FPS) == pytest.approx(1 / 3)
    assert blink_error(_opening(80, 200), truth, fps=FPS) == 1
    assert blink_error(np.full(250, 0.3), np.full(250, 0.3), fps=FPS) == 0


def test_motion_counts_in_pauses_only():
    rate, frames = 16_000, 50
    wave = np.random.default_rng(0).normal(0, 0.1, rate * 2).astype(np.float32)
    wave[:rate] = 0
    quiet = quiet_frames(wave, frames, fps=FPS, rate=rate)
    assert quiet[:20].all()
    assert not quiet[20:].any()
    truth = 0.01 * (np.arange(frames) % 2)
    own = np.where(np.arange(frames) < 25, 3 * truth, 100 * truth)
    assert silence_motion(own, truth, quiet) == pytest.approx(3.0)
    assert np.isnan(silence_motion(own, truth, np.zeros(frames, bool)))
