import math
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talk3d.audio import (
    FRAME_RATE,
    SAMPLE_RATE,
    MelConfig,
    analyse,
    audio_windows,
    load_audio,
    log_mel,
    silent_past,
    voice_activity,
)

CONFIG = MelConfig()


def syllables(seconds: float, *, rate: int = SAMPLE_RATE, level: float = 0.3):
    """A buzz at 120 Hz, four syllables a second, a little noise."""
    time = np.arange(int(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25))
    loudness = np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    noise = np.random.default_rng(0).normal(size=len(time)) * 1e-3
    return (level * (0.3 * buzz * loudness + noise)).astype(np.float32)


def tone(frequency: float, seconds: float = 1.0, *, rate: int = SAMPLE_RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


# Features


def test_silence_is_exactly_zero() -> None:
    assert torch.count_nonzero(log_mel(torch.zeros(5000), CONFIG)) == 0
    assert not voice_activity(torch.zeros(5000), CONFIG).any()


@given(st.integers(0, 4000))
@settings(max_examples=20)
def test_frames_of_a_sound(samples: int) -> None:
    wave = torch.from_numpy(syllables(0.25))[:samples]
    assert log_mel(wave, CONFIG).shape == (1 + len(wave) // 160, CONFIG.mels)
    assert len(voice_activity(wave, CONFIG)) == 1 + len(wave) // 160


@given(st.integers(0, 2**31))
@settings(max_examples=15)
def test_any_cutting_gives_the_same_frames(seed: int) -> None:
    wave = torch.from_numpy(syllables(2.0))
    generator = np.random.default_rng(seed)
    cuts = np.sort(generator.integers(0, len(wave), size=generator.integers(1, 12)))
    state, features, voice = silent_past(CONFIG), [], []
    for chunk in [*torch.tensor_split(wave, cuts.tolist()), torch.zeros(200)]:
        frames, state = analyse(chunk, state, CONFIG)
        features.append(frames.features)
        voice.append(frames.voice)
    # Float32 sums whose blocking depends on the number of frames.
    torch.testing.assert_close(
        torch.cat(features), log_mel(wave, CONFIG), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(torch.cat(voice), voice_activity(wave, CONFIG))


def test_a_frame_does_not_know_what_comes_later() -> None:
    wave = torch.from_numpy(syllables(2.0))
    other = wave.clone()
    other[16_200:] = torch.from_numpy(tone(3000))[:15_800]
    one, two = log_mel(wave, CONFIG), log_mel(other, CONFIG)
    # Frame 100 is centred on sample 16,000 and reaches 200 samples further.
    assert torch.equal(one[:101], two[:101])
    assert not torch.equal(one[102], two[102])


def test_a_frame_forgets_the_far_past() -> None:
    tail = torch.from_numpy(syllables(1.0))
    quiet, loud = torch.zeros(80_000), torch.from_numpy(tone(700, 5.0))
    gap = torch.zeros(CONFIG.memory * 160 + 400)
    one = log_mel(torch.cat([quiet, gap, tail]), CONFIG)[-100:]
    two = log_mel(torch.cat([loud, gap, tail]), CONFIG)[-100:]
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frequency", [200.0, 440.0, 1000.0, 3000.0, 6000.0])
def test_a_tone_peaks_in_its_band(frequency: float) -> None:
    band = log_mel(torch.from_numpy(tone(frequency)), CONFIG)[50].argmax().item()

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    step = (mel(CONFIG.high_hz) - mel(CONFIG.low_hz)) / (CONFIG.mels + 1)
    expected = (mel(frequency) - mel(CONFIG.low_hz)) / step - 1
    # Low bands are narrower than the 31 Hz of a transform bin.
    assert abs(band - expected) <= (1.5 if frequency < 500 else 0.6)


def test_energy_obeys_parseval() -> None:
    # White noise of known power, no level to divide by: the bands sum to its power
    # after pre-emphasis, 1 + 0.97² times as much.
    config = MelConfig(
        low_hz=0.0, high_hz=8000.0, level_low_db=0.0, level_high_db=0.0, range_db=0.0
    )
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(160_000, generator=generator)
    power = torch.expm1(3 * log_mel(noise, config)[5:-5]).sum(dim=1).mean()
    # The first band starts above 0 Hz and the last ends at 8 kHz: half a band is cut.
    assert abs(power.item() / (0.01 * (1 + 0.97**2)) - 1) < 0.05


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_loudness_hardly_matters_after_the_first_syllable(gain_db: float) -> None:
    wave = torch.from_numpy(syllables(4.0, level=1.0))
    one = log_mel(wave, CONFIG)
    two = log_mel(wave * 10 ** (gain_db / 20), CONFIG)
    # Without the speech level the difference would be |gain| ln(10) / 30 = 0.46 or
    # more in loud bands.
    assert (one - two)[50:].abs().max() < 0.02


def test_quiet_noise_is_not_blown_up_to_speech() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 10 ** (-70 / 20) * torch.randn(5 * 16_000, generator=generator)
    speech = log_mel(torch.from_numpy(syllables(4.0)), CONFIG)
    assert log_mel(noise, CONFIG).mean() < 0.5 * speech.mean()


def test_speech_is_told_from_pauses_in_noise() -> None:
    generator = np.random.default_rng(1)
    silence = np.zeros(2 * SAMPLE_RATE, np.float32)
    wave = np.concatenate([silence, syllables(2.0), silence, syllables(2.0), silence])
    for noise_db, gain in ((-80, 1.0), (-60, 1.0), (-60, 0.5)):
        noise = 10 ** (noise_db / 20) * generator.normal(size=len(wave))
        voice = voice_activity(
            torch.from_numpy((gain * wave + noise).astype(np.float32)), CONFIG
        )
        for start, end, expected in ((2, 4, True), (4.3, 6, False), (6, 8, True)):
            part = voice[round(start * 100) + 20 : round(end * 100)]
            assert (part == expected).float().mean() > 0.95, (noise_db, gain, start)


@pytest.mark.parametrize(
    "change",
    [{"mels": 0}, {"low_hz": 9000.0}, {"level_seconds": 0.0}, {"level_low_db": 0.0}],
)
def test_bad_configurations_are_named(change: dict) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=name):
        MelConfig(**change)


# Windows


def test_windows_are_aligned_by_time() -> None:
    features = torch.arange(200.0)[:, None].expand(-1, 3)
    windows = audio_windows(
        features, torch.tensor([0.5, 1.0, 1.234]), before=0.1, after=0.05
    )
    assert windows.shape == (3, 16, 3)
    torch.testing.assert_close(windows[:, 10, 0], torch.tensor([50.0, 100.0, 123.0]))
    torch.testing.assert_close(windows[0, :, 0], torch.arange(40.0, 56.0))


def test_a_click_lands_in_the_middle_of_its_window() -> None:
    wave = torch.zeros(32_000)
    wave[round(1.26 * SAMPLE_RATE)] = 1
    moments = torch.arange(25, 40) / 25 + 0.02
    windows = audio_windows(log_mel(wave, CONFIG), moments, before=0.2, after=0.2)
    loudest = windows.sum(-1).argmax(1)
    frame = int((moments - 1.26).abs().argmin())
    assert moments[frame] == pytest.approx(1.26)
    assert loudest[frame] == 20


def test_windows_are_silent_beyond_the_ends() -> None:
    features = torch.ones(10, 2)
    windows = audio_windows(
        features, torch.tensor([-9.0, 0.0, 0.09, 30.0]), before=0.02, after=0.02
    )
    assert windows[..., 0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_a_negative_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        audio_windows(torch.ones(10, 2), torch.tensor([0.0]), before=-1.0, after=0.0)


# Files


def write_media(
    path: Path, wave: np.ndarray, *, rate: int, codec: str, delay: float | None = None
) -> None:
    """Write mono sound with PyAV, with a video track if there is a ``delay``."""
    with av.open(str(path), "w") as container:
        video = None
        if delay is not None:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=rate)
        sound.layout = "mono"
        if video is not None:
            for index in range(round(25 * len(wave) / rate)):
                picture = np.zeros((64, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = index
                container.mux(video.encode(frame))
            container.mux(video.encode())
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo.write(frame)
        at = round((delay or 0) * rate)
        while (piece := fifo.read(1024, partial=True)) is not None:
            piece.pts = at
            at += piece.samples
            container.mux(sound.encode(piece))
        container.mux(sound.encode())


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_every_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 1.0, rate=rate), rate)
    wave = load_audio(tmp_path / "a.wav")
    assert wave.dtype == torch.float32
    assert abs(len(wave) - SAMPLE_RATE) <= 32
    error = wave.numpy()[800:-800] - tone(440)[800 : 800 + len(wave) - 1600]
    # 40 dB under the tone: 8-bit lookups would fail, a resampler does not.
    assert np.sqrt((error**2).mean()) < 0.003


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.opus", "libopus")],
)
def test_compressed_sound_stays_in_time(tmp_path: Path, name: str, codec: str) -> None:
    original = syllables(2.0, rate=48_000)
    write_media(tmp_path / name, original, rate=48_000, codec=codec)
    wave = load_audio(tmp_path / name).numpy()
    expected = syllables(2.0)
    n = min(len(wave), len(expected))
    assert n > 1.9 * SAMPLE_RATE
    shifts = range(-800, 801, 8)
    score = [
        float(np.dot(wave[800 + s : n - 800 + s], expected[800 : n - 800]))
        for s in shifts
    ]
    # 30 ms, under one frame of video: not every MP3 says how much silence was added.
    assert abs(shifts[int(np.argmax(score))]) <= 0.03 * SAMPLE_RATE


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_sound_of_a_video_is_placed_against_its_pictures(
    tmp_path: Path, delay: float
) -> None:
    wave = np.zeros(48_000, np.float32)
    wave[24_000:24_480] = tone(1000, 0.01, rate=48_000)
    write_media(tmp_path / "a.mkv", wave, rate=48_000, codec="pcm_s16le", delay=delay)
    got = load_audio(tmp_path / "a.mkv").abs()
    assert abs(got.argmax().item() / SAMPLE_RATE - (0.505 + delay)) < 0.01


def test_stereo_is_averaged(tmp_path: Path) -> None:
    left = tone(440)
    soundfile.write(tmp_path / "a.wav", np.stack([left, 0.5 * left], 1), SAMPLE_RATE)
    wave = load_audio(tmp_path / "a.wav").numpy()
    np.testing.assert_allclose(wave, 0.75 * left, atol=1e-3)


@pytest.mark.parametrize("right", [0.0, -1.0])
def test_one_channel_stereo_keeps_its_level(tmp_path: Path, right: float) -> None:
    left = tone(440)
    soundfile.write(tmp_path / "a.wav", np.stack([right * left, left], 1), SAMPLE_RATE)
    wave = np.abs(load_audio(tmp_path / "a.wav").numpy())
    np.testing.assert_allclose(wave, np.abs(left), atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    wave = tone(440)
    wave[5000] = value
    soundfile.write(tmp_path / "a.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_audio(tmp_path / "a.wav")


def test_files_without_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no sound file"):
        load_audio(tmp_path / "missing.wav")
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(ValueError, match="cannot be read as sound"):
        load_audio(tmp_path / "text.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), SAMPLE_RATE)
    with pytest.raises(ValueError, match="no sound track"):
        load_audio(tmp_path / "empty.wav")


def test_silence_is_warned_of_and_read(tmp_path: Path, caplog) -> None:
    soundfile.write(tmp_path / "mute.wav", np.zeros(5000, np.float32), SAMPLE_RATE)
    wave = load_audio(tmp_path / "mute.wav")
    assert "silent from beginning to end" in caplog.text
    assert not wave.any()


def test_the_rates_fit() -> None:
    assert SAMPLE_RATE % FRAME_RATE == 0
