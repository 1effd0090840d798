"""Reading: what is shown when, upright, in the right colours; clear refusals."""

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from talk3d.audio import load_audio
from talk3d.video import copy_sound, probe_video, read_audio, read_frames

SIZE = 96


def write(
    path: Path,
    frames,
    times,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict | None = None,
    prepare=None,
) -> Path:
    """Write frames (RGB arrays) at given times (seconds)."""
    fine = codec not in ("mpeg1video", "mpeg4")
    rate = Fraction(30) if fine else Fraction(25)
    base = Fraction(1, 90_000) if fine else Fraction(1, 25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base
        if prepare is not None:
            prepare(stream)
        for image, time in zip(frames, times, strict=True):
            kind = "rgb48le" if image.dtype == np.uint16 else "rgb24"
            frame = av.VideoFrame.from_ndarray(image, format=kind)
            frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU601")
            frame.pts = round(time / base)
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey(level: float, size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), round(level), np.uint8)


def numbered(count: int) -> list[np.ndarray]:
    """Frame k shows the number k as eight bars, black for 0 and white for 1."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    bars = np.repeat(bits * 200 + 28, SIZE // 8, axis=1).astype(np.uint8)
    shape = (count, SIZE, SIZE, 3)
    return list(np.broadcast_to(bars[:, None, :, None], shape).copy())


def numbers(path: Path, **kwargs) -> np.ndarray:
    bars = [
        frame[..., 1].reshape(SIZE, 8, SIZE // 8).mean((0, 2))
        for frame in read_frames(path, **kwargs)
    ]
    return ((np.array(bars) > 128) << np.arange(8)).sum(1)


@pytest.mark.parametrize("rate", [24.0, 25.0, 30_000 / 1001, 30.0, 50.0, 60.0])
def test_each_frame_shows_what_was_shown_in_its_middle(tmp_path, rate):
    count = min(100, int(2 * rate))
    path = write(tmp_path / "a.mp4", numbered(count), np.arange(count) / rate)
    got = numbers(path)
    middles = (np.arange(len(got)) + 0.5) / 25
    assert len(got) == pytest.approx(count / rate * 25, abs=1)
    # A millisecond decides ties, so that rounded time stamps do not.
    expected = np.minimum(np.floor((middles + 0.001) * rate), count - 1)
    assert got.tolist() == expected.tolist()


def test_uneven_times_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.12, 60))
    times = times - times[0]
    path = write(tmp_path / "a.mp4", numbered(60), times)
    got = numbers(path)
    middles = (np.arange(len(got)) + 0.5) / 25
    expected = np.searchsorted(times, middles + 0.001, side="right") - 1
    assert got.tolist() == expected.tolist()


def test_start_and_end(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(90), np.arange(90) / 30)
    whole = numbers(path)
    assert numbers(path, start=1.0, end=2.0).tolist() == whole[25:50].tolist()


def test_frames_come_one_at_a_time(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(60), np.arange(60) / 30)
    assert len(list(islice(read_frames(path), 3))) == 3


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_turned_video_comes_upright(tmp_path, turn):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = (220, 30, 30)

    def prepare(stream):
        stream.set_display_rotation(turn)

    path = write(tmp_path / "a.mp4", [image] * 40, np.arange(40) / 30, prepare=prepare)
    got = next(iter(read_frames(path)))
    # Display rotation is counter-clockwise.
    expected = np.rot90(image, turn // 90)
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 6


def test_oblong_pixels_become_square(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = write(tmp_path / "a.mp4", numbered(40), np.arange(40) / 30, prepare=prepare)
    info = probe_video(path)
    assert (info.width, info.height) == (144, 96)
    assert "aspect" in info.notes[0]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("libvpx-vp9", "a.webm"),
        ("mpeg1video", "a.mpg"),
        ("libx265", "a.mp4"),
        ("mpeg4", "a.avi"),
    ],
)
def test_other_formats(tmp_path, codec, name):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    rate = 25 if codec in ("mpeg1video", "mpeg4") else 30
    frames = [grey(60), grey(180)] * 20
    path = write(
        tmp_path / name, frames, np.arange(40) / rate, codec=codec, options=options
    )
    got = [frame.mean() for frame in read_frames(path)]
    assert len(got) == pytest.approx(40 / rate * 25, abs=2)
    assert min(got) == pytest.approx(60, abs=8)
    assert max(got) == pytest.approx(180, abs=8)


def test_colours_follow_the_tag(tmp_path):
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:] = (40, 180, 60)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = 1
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    got = next(iter(read_frames(path))).reshape(-1, 3).mean(0)
    # BT.601 would be off by 16 in green.
    assert got == pytest.approx([40, 180, 60], abs=5)


def test_high_dynamic_range_becomes_ordinary(tmp_path):
    # PQ code of 203 cd/m2 (paper white) is 0.58; of 20 cd/m2 0.36.
    frames = [np.full((SIZE, SIZE, 3), int(c * 65535), np.uint16) for c in (0.58, 0.36)]

    def prepare(stream):
        stream.codec_context.color_trc = 16
        stream.codec_context.color_primaries = 9
        stream.codec_context.colorspace = 9

    path = write(
        tmp_path / "a.mp4",
        [frames[0]] * 20 + [frames[1]] * 20,
        np.arange(40) / 30,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none"},
        prepare=prepare,
    )
    assert "high dynamic range" in probe_video(path).notes[0]
    got = [frame.mean() for frame in read_frames(path)]
    assert 190 < got[0] < 240
    assert 60 < got[-1] < 110


def test_interlaced_video_is_combed_out(tmp_path):
    """A bar that moves between the fields leaves a comb unless it is deinterlaced."""
    frames = []
    for k in range(40):
        image = grey(30)
        for field in (0, 1):
            x = 8 + 2 * ((2 * k + field) % 30)
            image[field::2, x : x + 20] = 220
        frames.append(image)
    path = write(
        tmp_path / "a.mp4",
        frames,
        np.arange(40) / 30,
        options={"x264-params": "interlaced=1:tff=1", "crf": "8"},
    )
    assert "deinterlaced" in probe_video(path).notes
    got = list(read_frames(path))[5].astype(float)[..., 1]
    comb = np.abs(got[1:-1] - (got[:-2] + got[2:]) / 2).mean()
    raw = frames[5].astype(float)[..., 1]
    assert comb < 0.4 * np.abs(raw[1:-1] - (raw[:-2] + raw[2:]) / 2).mean()


def with_sound(path: Path, beep: float, *, picture_at: float = 0.0) -> Path:
    """Two seconds of picture from ``picture_at`` on, and a beep at a file time."""
    rate = 48_000
    wave = np.zeros((2, 3 * rate), np.float32)
    at = round(beep * rate)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate // 10) / rate)
    wave[:, at : at + rate // 10] = tone
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=rate, layout="stereo")
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(grey(90), format="rgb24")
            frame.pts = k + round(picture_at * 25)
            frame.time_base = Fraction(1, 25)
            container.mux(video.encode(frame))
        for k in range(0, wave.shape[1], 1024):
            part = (wave[:, k : k + 1024].T * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part).reshape(1, -1), "s16", "stereo"
            )
            frame.sample_rate = rate
            frame.pts = k
            frame.time_base = Fraction(1, rate)
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def onset(wave: np.ndarray) -> float:
    return int(np.argmax(np.abs(wave) > 0.1)) / 16_000


@pytest.mark.parametrize(
    ("picture_at", "start", "expected"),
    [(0.0, 0.0, 1.0), (0.4, 0.0, 0.6), (0.0, 0.5, 0.5)],
)
def test_sound_is_placed_against_the_first_picture(
    tmp_path, picture_at, start, expected
):
    path = with_sound(tmp_path / "a.mov", 1.0, picture_at=picture_at)
    wave = read_audio(path, start=start)
    # 1 kHz reaches 0.1 within a quarter period; two samples for the resampler.
    assert onset(wave) == pytest.approx(expected, abs=0.0006)
    assert np.abs(wave).max() == pytest.approx(0.5, abs=0.03)


def test_gaps_in_the_sound_stay_gaps(tmp_path):
    path = tmp_path / "a.mka"
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for begin in (0, 4000, 16_000, 20_000):
            part = (tone * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, begin
            frame.time_base = Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    wave = np.abs(read_audio(path))
    assert len(wave) == pytest.approx(3 * 16_000, abs=100)
    assert wave[18_000:30_000].max() < 1e-3
    assert wave[34_000:40_000].max() > 0.2


def test_stereo_in_opposite_phase_is_not_lost(tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], 1), 16_000)
    # 16-bit steps are 3e-5.
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), tone, atol=1e-4)


def test_sound_of_asked_length(tmp_path):
    path = with_sound(tmp_path / "a.mov", 1.0)
    assert len(read_audio(path, start=0.5, end=9.5)) == 9 * 16_000


def test_sound_is_copied_from_its_place(tmp_path):
    path = with_sound(tmp_path / "a.mov", 1.0)
    copy_sound(path, tmp_path / "b.mka", start=0.5, end=1.5)
    wave = read_audio(tmp_path / "b.mka")
    # Packets of 1024 samples at 48 kHz bound the cut.
    assert onset(wave) == pytest.approx(0.5, abs=1024 / 48_000)
    assert len(wave) / 16_000 == pytest.approx(1.0, abs=0.05)


def _text(folder: Path) -> Path:
    path = folder / "a.mp4"
    path.write_text("this is not a video\n" * 50)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "a.mp4"
    path.touch()
    return path


def _picture(folder: Path) -> Path:
    path = folder / "a.png"
    Image.fromarray(grey(9)).save(path)
    return path


def _short(folder: Path) -> Path:
    return write(folder / "a.mp4", numbered(9), np.arange(9) / 30)


def _tiny(folder: Path) -> Path:
    frames = [grey(90, 32)] * 60
    return write(folder / "a.mp4", frames, np.arange(60) / 30)


def _cut_off(folder: Path) -> Path:
    path = write(folder / "a.mp4", numbered(90), np.arange(90) / 30)
    path.write_bytes(path.read_bytes()[:600])
    return path


def _only_sound(folder: Path) -> Path:
    path = folder / "a.wav"
    soundfile.write(path, np.zeros(32_000), 16_000)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_text, "not a video"),
        (_empty, "empty"),
        (_picture, "single picture"),
        (_short, "at least 1 s"),
        (_tiny, "at least 64"),
        (_cut_off, "not a video|cut off"),
        (_only_sound, "no moving pictures"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, make, words):
    path = make(tmp_path)
    with pytest.raises(ValueError, match=words) as caught:
        probe_video(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        probe_video(tmp_path / "none.mp4")


def test_a_folder_is_told_to_be_one(tmp_path):
    for read in (probe_video, load_audio):
        with pytest.raises(ValueError, match="is a folder: give the path of a"):
            read(tmp_path)


def test_no_sound_track(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(40), np.arange(40) / 30)
    with pytest.raises(ValueError, match="no sound track"):
        read_audio(path)
    with pytest.raises(ValueError, match="no sound track"):
        copy_sound(path, tmp_path / "b.mka", start=0.0, end=1.0)


def test_sound_that_is_not_a_number(tmp_path):
    wave = np.zeros(32_000, np.float32)
    wave[900] = np.nan
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        read_audio(path)
