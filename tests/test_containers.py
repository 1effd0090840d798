"""Damaged and uneven files: what is whole is read, and it keeps its place."""

import io
from collections.abc import Container
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from talk3d.audio import SAMPLE_RATE, load_audio
from talk3d.containers import decoded
from talk3d.evaluate.material import decode, encode
from talk3d.movie import write_movie
from talk3d.synthetic.movie import MovieWriter
from talk3d.video import copy_sound, probe_video, read_audio, read_frames

RATE = 48_000
BEEP = 3.0
BLOCK = 1024
"""Samples of an AAC packet."""


def beep(path: Path, *, codec: str = "aac", layout: str = "mono") -> Path:
    """Write four seconds of a faint hum with a beep at 3 s."""
    time = np.arange(4 * RATE) / RATE
    wave = 0.02 * np.sin(2 * np.pi * 100 * time)
    wave += 0.5 * np.sin(2 * np.pi * 1000 * time) * (np.abs(time - BEEP - 0.1) < 0.1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        for at in range(0, len(wave), BLOCK):
            part = wave[at : at + BLOCK].astype(np.float32)
            rows = np.stack([part] * (2 if layout == "stereo" else 1))
            frame = av.AudioFrame.from_ndarray(rows, "fltp", layout)
            frame.sample_rate, frame.pts = RATE, at
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damaged(path: Path, kind: str, which: Container[int]) -> Path:
    """Copy a file and overwrite the given packets of its sound or its pictures."""
    copy = path.with_stem("damaged")
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        count = 0
        for packet in source.demux():
            if packet.dts is None:
                continue
            sent = packet
            if packet.stream.type == kind:
                if count in which:
                    sent = av.Packet(b"\x7f" * packet.size)
                    for name in ("pts", "dts", "duration", "time_base"):
                        setattr(sent, name, getattr(packet, name))
                count += 1
            sent.stream = streams[packet.stream.index]
            target.mux(sent)
    return copy


def levels(path: Path, **options: str) -> Path:
    """Write 60 grey pictures at 25 a second, each three levels brighter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options=options | {"crf": "8"}
        )
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        for index in range(60):
            grey = np.full((96, 96, 3), 60 + 3 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path) -> np.ndarray:
    """Return which of the `levels` each picture shows."""
    means = [frame.mean() for frame in read_frames(path)]
    return ((np.array(means) - 60) / 3).round().astype(int)


def resized(path: Path, *sizes: tuple[int, int]) -> Path:
    """Write 30 pictures of each size: an upright bright rectangle on grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25, options={"crf": "4"})
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for number, (width, height) in enumerate(sizes):
            encoder = stream.codec_context
            if number:
                encoder = av.CodecContext.create("libvpx", "w")
                encoder.width, encoder.height = width, height
                encoder.pix_fmt, encoder.framerate = "yuv420p", 25
                encoder.time_base, encoder.bit_rate = Fraction(1, 25), 4_000_000
            image = np.full((height, width, 3), 60, np.uint8)
            image[height // 4 : height // 2, width // 4 : width // 2] = 220
            for index in range(30):
                frame = av.VideoFrame.from_ndarray(image)
                frame.pts, frame.time_base = 30 * number + index, Fraction(1, 25)
                packets = encoder.encode(frame)
                for packet in packets if index < 29 else packets + encoder.encode():
                    packet.stream = stream
                    container.mux(packet)
    return path


def onset(wave: np.ndarray) -> float:
    return int(np.argmax(np.abs(wave) > 0.25)) / SAMPLE_RATE


@pytest.mark.parametrize("read", [read_audio, load_audio])
@pytest.mark.parametrize("lost", [{60}, {60, 61, 62, 100}])
def test_damaged_sound_is_silent_and_the_rest_keeps_its_place(
    tmp_path, caplog, read, lost
):
    whole = beep(tmp_path / "a.m4a")
    expected = np.asarray(read(whole))
    wave = np.asarray(read(damaged(whole, "audio", lost)))
    # Four samples: rounding of the gap and of the resampler.
    assert len(wave) == pytest.approx(len(expected), abs=4)
    assert onset(wave) == pytest.approx(onset(expected), abs=4 / SAMPLE_RATE)
    # The first packet only prepares the decoder: packet 60 is the 60th that sounds.
    hole = round((59 * BLOCK / RATE + 0.005) * SAMPLE_RATE)
    assert np.abs(wave[hole : hole + 64]).max() < 0.01
    assert f"{len(lost)} damaged packets of sound are left out" in caplog.text


class _Broken(io.BytesIO):
    """A file whose second half cannot be read from some time on."""

    begun = False

    def read(self, size=-1):
        if self.begun and self.tell() > self.getbuffer().nbytes // 2:
            raise av.error.InvalidDataError(5, "Input/output error")
        return super().read(size)


def test_a_file_that_breaks_off_is_read_so_far_and_said(tmp_path, caplog):
    path = beep(tmp_path / "a.wav", codec="pcm_f32le")
    file = _Broken(path.read_bytes())
    with av.open(file, options={"probesize": "4096"}) as container:
        file.begun = True
        packets = list(decoded(container, container.streams.audio[0]))
    samples = sum(frame.samples for frames in packets for frame in frames)
    # The demuxer reads ahead by at most 32 kB of four-byte samples.
    assert samples == pytest.approx(2 * RATE, abs=8192)
    assert "cannot be read to its end (Input/output error): the rest" in caplog.text


def test_sound_of_which_nothing_is_whole_is_refused(tmp_path):
    path = damaged(beep(tmp_path / "a.m4a"), "audio", range(1000))
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_audio(path)
    with pytest.raises(ValueError, match="cannot be read as sound"):
        load_audio(path)


def test_damaged_sound_stays_in_time_with_the_movie(tmp_path):
    path = damaged(beep(tmp_path / "a.m4a"), "audio", {60, 61, 62})
    pictures = [np.full((64, 64, 3), 90, np.uint8)] * 100
    write_movie(tmp_path / "x.mp4", pictures, fps=25.0, sound=path)
    # AAC spreads an onset over at most one block.
    place = onset(load_audio(tmp_path / "x.mp4").numpy())
    assert place == pytest.approx(BEEP, abs=BLOCK / RATE)


def test_a_gap_in_unsigned_sound_is_silent(tmp_path):
    path = tmp_path / "a.mkv"
    tone = 60 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_u8", rate=8000, layout="mono")
        for begin in (0, 16_000):
            part = (128 + tone).astype(np.uint8)[None]
            frame = av.AudioFrame.from_ndarray(part, "u8", "mono")
            frame.sample_rate, frame.pts = 8000, begin
            frame.time_base = Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    wave = np.abs(load_audio(path).numpy())
    assert len(wave) == pytest.approx(2.5 * SAMPLE_RATE, abs=100)
    # One step of eight bits.
    assert wave[9000:31_000].max() < 1 / 127
    assert wave[33_000:39_000].max() > 0.3


def test_sound_that_changes_its_channels_is_read_to_the_end(tmp_path):
    parts = [
        beep(tmp_path / f"{layout}.mp3", codec="libmp3lame", layout=layout).read_bytes()
        for layout in ("mono", "stereo")
    ]
    path = tmp_path / "both.mp3"
    path.write_bytes(b"".join(parts))
    wave = np.abs(load_audio(path).numpy())
    # MP3 pads each part by up to two packets of 1152 samples.
    assert len(wave) / SAMPLE_RATE == pytest.approx(8.0, abs=4 * 1152 / RATE)
    later = wave[5 * SAMPLE_RATE :]
    assert onset(later) == pytest.approx(2.0, abs=4 * 1152 / RATE)


def test_for_damaged_pictures_the_one_before_stays(tmp_path, caplog):
    path = damaged(levels(tmp_path / "a.mp4", g="1"), "video", {20, 31, 32})
    expected = np.arange(60)
    expected[[20, 31, 32]] = 19, 30, 30
    assert shown(path).tolist() == expected.tolist()
    assert "3 damaged packets of pictures are left out" in caplog.text


def test_pictures_go_on_after_damage_between_key_pictures(tmp_path):
    # A picture leans on those since the last key picture, every 15th.
    path = damaged(levels(tmp_path / "a.mp4", g="15"), "video", {20})
    found = shown(path)
    assert len(found) == 60
    assert found[:15].tolist() == list(range(15))
    assert found[30:].tolist() == list(range(30, 60))


def test_a_damaged_first_picture_is_passed_over(tmp_path):
    path = damaged(levels(tmp_path / "a.mp4", g="1"), "video", {0})
    assert probe_video(path).width == 96
    assert shown(path).tolist() == list(range(1, 60))


@pytest.mark.parametrize("late", [0.0, 3.0])
def test_a_file_that_does_not_say_its_length_is_measured(tmp_path, late):
    # As browsers record: the header is written before the end is known.
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((96, 96, 3), 90, np.uint8))
            frame.pts, frame.time_base = index + round(25 * late), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.duration is None
    # Time stamps are rounded to milliseconds.
    assert probe_video(path).seconds == pytest.approx(2.4, abs=0.002)
    assert len(list(read_frames(path))) == 60


@pytest.mark.parametrize("later", [(256, 192), (64, 48)])
def test_pictures_that_change_their_size_are_scaled_to_the_first(
    tmp_path, caplog, later
):
    frames = list(read_frames(resized(tmp_path / "a.webm", (128, 96), later)))
    assert len(frames) == 60
    assert {frame.shape for frame in frames} == {(96, 128, 3)}
    # What differs is the rim of the rectangle, and the coding.
    assert np.abs(frames[50].astype(int) - frames[10]).mean() < 3
    assert f"to {later[0]} x {later[1]}" in caplog.text


def test_pictures_of_another_shape_are_not_stretched(tmp_path):
    frames = list(read_frames(resized(tmp_path / "a.webm", (128, 96), (96, 128))))
    assert {frame.shape for frame in frames} == {(96, 128, 3)}
    lit = frames[50][..., 1] > 140
    height, width = lit.any(1).sum(), lit.any(0).sum()
    # A quarter of 96 x 128 pixels, shrunk by 3/4; a pixel of blur a side.
    assert (width, height) == (pytest.approx(18, abs=2), pytest.approx(24, abs=2))
    assert frames[50][:, :24].max() < 40


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound = beep(tmp_path / "a.wav", codec="pcm_s16le").rename("12:30:04.wav")
    assert len(load_audio(Path(sound.name))) == 4 * SAMPLE_RATE
    movie = Path("2026-11-21T12:30:05.mp4")
    frames = [np.full((64, 64, 3), 20 * k, np.uint8) for k in range(10)]
    write_movie(movie, frames, fps=25.0, sound=Path(sound.name))
    assert len(list(read_frames(movie, fps=25.0))) == 10
    copy_sound(movie, Path("12:30.mka"), start=0.0, end=0.4)
    assert len(read_audio(Path("12:30.mka"), rate=16_000)) > 0
    again = Path("12:31.mp4")
    encode(again, lambda k: frames[k], count=10, fps=25.0, crf=18)
    assert decode(again, tmp_path / "raw", fps=25.0).shape == (10, 64, 64)
    with MovieWriter(Path("12:32.mp4"), size=64, fps=25.0) as writer:
        writer.add(frames[0])
    assert Path("12:32.mp4").is_file()
