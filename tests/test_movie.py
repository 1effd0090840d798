"""Movies: right colours, right length, sound in time."""

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from talk3d.audio import SAMPLE_RATE, load_audio
from talk3d.movie import write_alpha_movie, write_movie

FPS, RATE = 25.0, 44_100


def _frames(count, flash_at=None):
    for index in range(count):
        level = 235 if index == flash_at else 60
        yield np.full((64, 64, 3), (level, 90, 120), np.uint8)


def _read(path):
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [f.to_ndarray()[0] for f in container.decode(audio=0)]
    return np.stack(frames), np.concatenate(sound)


def test_pictures_and_sound_arrive_together(tmp_path):
    wave = np.zeros(2 * RATE, np.float32)
    wave[RATE : RATE + 2000] = 0.8 * np.sin(np.arange(2000) / 5)
    soundfile.write(tmp_path / "beep.wav", wave, RATE)
    write_movie(
        tmp_path / "x.mp4", _frames(50, 25), fps=FPS, sound=tmp_path / "beep.wav"
    )
    frames, sound = _read(tmp_path / "x.mp4")
    assert len(frames) == 50
    assert frames[:, 32, 32, 0].argmax() == 25
    loud = np.flatnonzero(np.abs(sound) > 0.2)[0]
    # AAC spreads an onset over at most one block of 1024 samples
    assert abs(loud - RATE) < 1100


@pytest.mark.parametrize("delay", [-0.3, 0.0, 0.5])
def test_the_sound_of_a_video_keeps_its_place(tmp_path, delay):
    wave = np.zeros(2 * RATE, np.float32)
    wave[RATE : RATE + 2000] = 0.8 * np.sin(np.arange(2000) / 5)
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25, options={})
        stream.width = stream.height = 16
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
            frame.pts, frame.time_base = index + 25, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        whole = (wave[None] * 32767).astype(np.int16)
        for start in range(0, whole.shape[1], 4410):
            frame = av.AudioFrame.from_ndarray(
                whole[:, start : start + 4410], "s16", "mono"
            )
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = start + RATE + round(delay * RATE)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    write_movie(tmp_path / "x.mp4", _frames(60), fps=FPS, sound=source)
    _, heard = _read(tmp_path / "x.mp4")
    loud = np.flatnonzero(np.abs(heard) > 0.2)[0] / RATE
    assert abs(loud - (1 + delay)) < 0.03
    told = np.flatnonzero(np.abs(load_audio(source).numpy()) > 0.2)[0] / SAMPLE_RATE
    assert abs(loud - told) < 0.03


def test_sound_of_a_rate_that_aac_does_not_know_is_taken(tmp_path):
    wave = 0.3 * np.sin(np.arange(20_000) * 2 * np.pi * 440 / 20_000)
    soundfile.write(tmp_path / "odd.wav", wave, 20_000)
    sound = tmp_path / "odd.wav"
    write_movie(tmp_path / "x.mp4", _frames(25), fps=FPS, sound=sound)
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.streams.audio[0].rate == 22_050
    assert np.abs(_read(tmp_path / "x.mp4")[1]).max() > 0.2


def test_colours_survive(tmp_path):
    write_movie(tmp_path / "x.mp4", _frames(3), fps=FPS)
    with av.open(str(tmp_path / "x.mp4")) as container:
        frame = next(container.decode(video=0))
        picture = frame.to_ndarray(format="rgb24", src_colorspace="ITU709")
    # 8-bit YUV with halved chroma: two levels of rounding each way
    assert np.abs(picture[32, 32].astype(int) - (60, 90, 120)).max() <= 4


def test_nothing_is_left_of_a_failed_movie(tmp_path):
    def broken():
        yield from _frames(2)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_movie(tmp_path / "x.mp4", broken(), fps=FPS)
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        write_movie(tmp_path / "x.avi", _frames(2), fps=FPS)


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        write_movie(tmp_path / "x.mp4", iter(()), fps=FPS)


def test_transparency_survives(tmp_path):
    picture = np.full((64, 64, 4), (60, 90, 120, 255), np.uint8)
    picture[:, 32:, 3] = 0
    write_alpha_movie(tmp_path / "x.mov", [picture] * 3, fps=FPS)
    with av.open(str(tmp_path / "x.mov")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgba")
    assert frame[32, 16, 3] == 255
    assert frame[32, 48, 3] == 0
