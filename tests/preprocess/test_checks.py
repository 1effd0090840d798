"""Findings: silence, clipping and a missing end are warned of, clean speech is not."""

import numpy as np
import pytest

from talk3d.preprocess.checks import inspect_picture, inspect_sound, verdict
from talk3d.preprocess.crop import Crop
from talk3d.preprocess.hearing import Hearing, clipped_share
from talk3d.preprocess.span import Span
from talk3d.preprocess.track import Recording
from talk3d.sync import Offset
from talk3d.video import VideoInfo

CLEAN = Hearing(
    speech=30.0,
    gap_db=40.0,
    music=0.0,
    elsewhere=0.0,
    clipped=0.001,
    offset=Offset(0.01, 0.9, 0.6),
    corrected=False,
)


def warned(**changes) -> dict[str, str]:
    hearing = Hearing(**(vars(CLEAN) | changes))
    found = inspect_sound(hearing)
    return {f.topic: f.text for f in found if f.level == "warning"}


def test_clean_speech_gets_no_warning():
    assert warned() == {}
    assert verdict(inspect_sound(CLEAN), 30.0).startswith("Good")


def test_silence_is_warned_of():
    assert "No speech is heard" in warned(speech=0.0)["speech"]


def test_little_speech_is_warned_of():
    assert "4.0 s" in warned(speech=4.0)["speech"]


def test_clipping_is_warned_of():
    assert "clipped" in warned(clipped=0.3)["clipping"]


def test_late_sound_is_warned_of():
    assert "0.24 s late" in warned(offset=Offset(0.24, 0.9, 0.6))["timing"]


@pytest.mark.parametrize("gain", [0.2, 1.0])
def test_clipped_samples_are_counted(gain):
    rng = np.random.default_rng(0)
    envelope = np.abs(np.sin(np.arange(32_000) / 900))
    wave = (rng.normal(0, 0.2, 32_000) * envelope).astype(np.float32)
    assert clipped_share(gain * wave) < 0.02
    assert clipped_share(gain * np.clip(wave, -0.1, 0.1)) > 0.3


def test_silence_is_not_clipped():
    assert clipped_share(np.zeros(100, np.float32)) == 0.0


@pytest.mark.parametrize(
    ("asked", "missing"), [(12.0, False), (12.2, False), (12.5, True), (60.0, True)]
)
def test_a_missing_end_is_warned_of(asked, missing):
    count = 300
    points = np.random.default_rng(0).uniform(200, 400, (1, 478, 2))
    points = np.repeat(points, count, 0).astype(np.float32)
    even = np.full(count, 0.5, np.float32)
    recording = Recording(
        points[None], even, 0 * even, even, 0 * even, np.zeros((count, 2), np.float32),
        np.zeros((count, 3), np.float32),
    )  # fmt: skip
    span = Span(0, 1, 0, count, (), points, np.ones(count, bool))
    info = VideoInfo(640, 480, 25.0, 60.0, "h264", True, ())
    found = inspect_picture(recording, span, Crop(150.0, 90.0, 300.0, 256), info, asked)
    told = {f.topic: f.text for f in found if f.level == "warning"}
    assert ("ending" in told) == missing
    if missing:
        assert f"after 12.0 s of {asked:.1f} s" in told["ending"]
