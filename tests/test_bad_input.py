"""Bad input at the command line: one clear sentence, status 2, nothing left behind."""

import json
import struct
from collections import namedtuple
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from safetensors.numpy import save_file

from talk3d import checkpoint, pipeline
from talk3d.cli.main import main
from talk3d.face_models import model_files

RATE = 16_000


def film(
    path: Path,
    *,
    seconds: float = 2.0,
    size: int = 96,
    wave: np.ndarray | None = None,
    codec: str = "libx264",
) -> Path:
    """Write grey noise with sound."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width = video.height = size
        video.pix_fmt = "yuv420p"
        if wave is not None:
            sound = container.add_stream("pcm_f32le", rate=RATE, layout="mono")
        for _ in range(round(seconds * 25)):
            image = rng.integers(90, 110, (size, size, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if wave is not None:
            frame = av.AudioFrame.from_ndarray(wave[None], "flt", "mono")
            frame.sample_rate = RATE
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


def quiet(seconds: float = 2.0) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def empty(folder: Path) -> Path:
    (folder / "a.mp4").touch()
    return folder / "a.mp4"


def text(folder: Path) -> Path:
    (folder / "a.mp4").write_text("I am no video\n" * 50)
    return folder / "a.mp4"


def picture(folder: Path) -> Path:
    Image.new("RGB", (96, 96)).save(folder / "a.png")
    return folder / "a.png"


def truncated(folder: Path) -> Path:
    path = film(folder / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def short(folder: Path) -> Path:
    return film(folder / "a.mkv", seconds=0.5, wave=quiet(0.5))


def tiny(folder: Path) -> Path:
    return film(folder / "a.mkv", size=4, wave=quiet(), codec="ffv1")


def mute(folder: Path) -> Path:
    return film(folder / "a.mkv")


def not_a_number(folder: Path) -> Path:
    wave = quiet()
    wave[7000] = np.nan
    return film(folder / "a.mkv", wave=wave)


def refused(capsys, out: Path, *words) -> str:
    """Run a command that must be refused; return its one sentence."""
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    last = error.splitlines()[-1]
    assert last.startswith("talk3d: ")
    assert not out.exists()
    return last


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "is empty"),
        (text, "is not a video that can be read"),
        (picture, "is a single picture"),
        (truncated, "is not a video that can be read"),
        (short, "at least 1 s are needed"),
        (tiny, "at least 64"),
        (mute, "has no sound track"),
        (not_a_number, "not finite"),
    ],
)
def test_bad_videos_are_refused(capsys, tmp_path, make, words):
    video, out = make(tmp_path), tmp_path / "subject"
    told = refused(capsys, out, "preprocess", video, "-o", out, "--synthetic")
    assert words in told
    assert str(video) in told


def test_a_video_without_a_face_is_refused(capsys, tmp_path):
    try:
        model_files(offline=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    video, out = film(tmp_path / "a.mkv", wave=quiet()), tmp_path / "subject"
    words = ("preprocess", video, "-o", out, "--synthetic", "--offline")
    assert "no face was found" in refused(capsys, out, *words)


def test_a_part_past_the_end_is_refused(capsys, tmp_path):
    video, out = film(tmp_path / "a.mkv", wave=quiet()), tmp_path / "subject"
    words = ("preprocess", video, "-o", out, "--synthetic", "--from", "9")
    assert "cannot begin at 9 s" in refused(capsys, out, *words)


def test_a_place_that_cannot_be_written_is_refused(capsys, tmp_path):
    try:
        model_files(offline=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    (tmp_path / "file").touch()
    video, out = film(tmp_path / "a.mkv", wave=quiet()), tmp_path / "file" / "subject"
    told = refused(capsys, out, "preprocess", video, "-o", out, "--synthetic")
    assert "cannot be written" in told


def test_too_little_disk_is_refused(capsys, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    video, out = film(tmp_path / "a.mkv", wave=quiet()), tmp_path / "subject"
    told = refused(capsys, out, "preprocess", video, "-o", out, "--synthetic")
    assert "GB left" in told
    assert "free some space" in told


@pytest.fixture
def speech(tmp_path):
    soundfile.write(tmp_path / "speech.wav", quiet(0.5), RATE)
    return tmp_path / "speech.wav"


def test_an_avatar_of_another_version_is_refused(capsys, tmp_path, speech):
    path, out = tmp_path / "a.safetensors", tmp_path / "a.mp4"
    checkpoint.save_model(path, {}, kind="avatar", config={})
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    entry = json.loads(header["__metadata__"][checkpoint.METADATA_KEY])
    header["__metadata__"][checkpoint.METADATA_KEY] = json.dumps(
        entry | {"format": 999}
    )
    data = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data + content[8 + length :])
    told = refused(capsys, out, "speak", path, speech, "-o", out)
    assert "999" in told


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_cut_off_avatar_is_refused(capsys, tmp_path, speech, part):
    path, out = tmp_path / "a.safetensors", tmp_path / "a.mp4"
    save_file({"a": np.zeros(1000, np.float32)}, path, metadata={"talk3d": "{}"})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    told = refused(capsys, out, "speak", path, speech, "-o", out)
    assert str(path) in told


def test_an_avatar_of_somebody_else_is_neither_taken_nor_lost(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline, "check_disk", lambda _: None)
    video, out = film(tmp_path / "a.mkv", wave=quiet()), tmp_path / "me.safetensors"
    checkpoint.save_model(out, {}, kind="avatar", config={}, parents={"generator": "0"})
    before = out.read_bytes()
    assert main(["create", str(video), "-o", str(out), "--synthetic"]) == 2
    told = capsys.readouterr().err
    assert f"{out} exists and does not come from the person of this run" in told
    assert "give another -o" in told
    assert out.read_bytes() == before


def test_an_interrupted_command_ends_with_130(tmp_path, monkeypatch):
    def interrupted(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "preprocess", interrupted)
    words = ["preprocess", "a.mp4", "-o", str(tmp_path / "s"), "--synthetic"]
    assert main(words) == 130
