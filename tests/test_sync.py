"""The sound's offset: made-up talk with a known delay, and real clips."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from talk3d.evaluate.points import face_scale, lip_gap
from talk3d.face import FaceNets, FaceTracker
from talk3d.face_models import model_files
from talk3d.sync import SURE, sound_offset
from talk3d.video import read_audio, read_frames

CLIPS = Path(__file__).parents[2] / "shared" / "clips" / "video"
RATE, FPS, SECONDS = 16_000, 25.0, 20.0


def _talk(seconds: float, delay: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mouth opening at random; noise as loud as it is open, `delay` later."""
    rng = np.random.default_rng(seed)
    steps = int((seconds + 2) * 100)
    motion = gaussian_filter1d(rng.standard_normal(steps), 6)
    motion = np.maximum(motion / motion.std() + 0.5, 0)
    clock = np.arange(steps) / 100 - 1

    def opening(times: np.ndarray) -> np.ndarray:
        return np.interp(times, clock, motion)

    gap = opening((np.arange(int(seconds * FPS)) + 0.5) / FPS)
    times = np.arange(int(seconds * RATE)) / RATE
    wave = 0.1 * rng.standard_normal(len(times)) * opening(times - delay)
    return gap, wave


# The constant of 15 ms found on real lips does not hold for this talk: 20 ms allowed.
@pytest.mark.parametrize("delay", np.arange(-0.4, 0.41, 0.08).round(2))
def test_a_known_delay_is_found(delay):
    gap, wave = _talk(12, float(delay))
    found = sound_offset(gap, wave, fps=FPS, rate=RATE)
    assert found.seconds == pytest.approx(delay, abs=0.02)
    assert found.sure


def test_talk_is_in_step_only_without_a_delay():
    def in_step(delay: float, voice: int = 0) -> float:
        gap, wave = _talk(12, 0)[0], _talk(12, delay, voice)[1]
        return sound_offset(gap, wave, fps=FPS, rate=RATE).in_step

    right = in_step(0)
    assert right > 0.2
    assert in_step(0.04) > right / 3
    for delay in (-0.4, -0.2, 0.2, 0.4):
        assert in_step(delay) < 0
    assert max(in_step(0, voice) for voice in range(50, 56)) < right / 2


def test_another_rate_and_scale_change_nothing():
    gap, wave = _talk(10, 0.1)
    plain = sound_offset(gap, wave, fps=FPS, rate=RATE)
    scaled = sound_offset(37 * gap, 0.01 * wave, fps=FPS, rate=RATE)
    assert scaled.seconds == pytest.approx(plain.seconds, abs=1e-6)
    halved = sound_offset(gap, wave[::2], fps=FPS, rate=RATE // 2)
    assert halved.seconds == pytest.approx(plain.seconds, abs=0.02)


def test_frames_without_a_face_are_bridged():
    gap, wave = _talk(12, 0.12)
    gap[50:70] = np.nan
    found = sound_offset(gap, wave, fps=FPS, rate=RATE)
    assert found.seconds == pytest.approx(0.12, abs=0.03)


def test_another_voice_is_not_believed():
    found = [
        sound_offset(
            _talk(12, 0, seed)[0], _talk(12, 0, seed + 50)[1], fps=FPS, rate=RATE
        )
        for seed in range(10)
    ]
    assert np.median([offset.confidence for offset in found]) < SURE


@pytest.mark.parametrize(
    ("gap", "wave"),
    [
        (np.zeros(100), _talk(4, 0)[1]),
        (_talk(4, 0)[0], np.zeros(64_000)),
        (np.full(100, np.nan), _talk(4, 0)[1]),
        (_talk(4, 0)[0][:20], _talk(4, 0)[1]),
    ],
    ids=["still mouth", "silence", "no face", "too short"],
)
def test_nothing_to_compare_gives_nan_and_no_confidence(gap, wave):
    found = sound_offset(gap, wave, fps=FPS, rate=RATE)
    assert np.isnan(found.seconds)
    assert found.confidence == 0.0
    assert not found.sure


@lru_cache
def _real(name: str) -> tuple[np.ndarray, np.ndarray]:
    path = CLIPS / name
    if not path.is_file():
        pytest.skip(f"the clip {name} is not here")
    try:
        tracker = FaceTracker(FaceNets(model_files(offline=True)))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found = [tracker.update(frame) for frame in read_frames(path, end=SECONDS)]
    lost = np.full((478, 2), np.nan, np.float32)
    track = np.stack([lost if points is None else points for points in found])
    return lip_gap(track, scale=face_scale(track)), read_audio(path, end=SECONDS)


# 40 ms is one frame, the promised accuracy. hdtf_m1 is labelled as in sync, but its
# lips are shut two to three frames before the sound stops, and a linear map from sound
# to lip gap, fitted on the GRID clips and obama_avfix only, fits it best at 0.10 s.
@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("obama_wh_20s_450_orig.mp4", 0.24),
        ("obama_wh_19s_450_avfix.mp4", 0.0),
        ("hdtf_m1_60s_256.mp4", 0.10),
        ("latentsync_demo2_20s_1080p.mp4", 0.04),
    ],
)
def test_real_clips(name, truth):
    gap, wave = _real(name)
    found = sound_offset(gap, wave, fps=FPS, rate=RATE)
    assert found.seconds == pytest.approx(truth, abs=0.04)
    assert found.sure


def test_a_shifted_real_clip_moves_with_the_shift():
    gap, wave = _real("obama_wh_19s_450_avfix.mp4")
    shifts = np.arange(-0.4, 0.41, 0.04)
    found = np.array(
        [
            sound_offset(
                gap, np.roll(wave, round(shift * RATE)), fps=FPS, rate=RATE
            ).seconds
            for shift in shifts
        ]
    )
    assert (np.diff(found) > 0).all()
    assert np.abs(found - shifts).max() < 0.04
