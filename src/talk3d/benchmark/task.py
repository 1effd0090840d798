"""One task of the benchmark: what a system is given, and what it is held against.

On disk::

    given/video.mp4       the training frames with their sound (H.264)
    given/audio.wav       the sound of the whole recording, 16 kHz mono; absent if none
    given/cameras.json    {format, size, fps, train: [camera], shots: [camera]}: a
                          camera is {name, seconds, label}; label has 25 numbers
    given/driving.safetensors  expression, gaze and neck of the wanted pictures
    subject/              the recording as a subject; only training frames are valid
    truth/00000.png       the wanted pictures, RGBA
    truth/truth.safetensors    landmarks, and for synthetic people visible, depth, part
    rows/NAME/            what a system made: 00000.png (RGB or RGBA), 00000.npy (depth)
    about.json            what the task is made of; written first
    task.json             name, kind, split

A *shot* is one wanted picture: a moment of the recording seen by a camera. Labels,
units and signs are those of ``talk3d.camera``; angles are degrees here.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.numpy import load_file, save_file

from talk3d.checkpoint import write_atomically
from talk3d.dataset import AUDIO_RATE, Subject
from talk3d.movie import write_movie

__all__ = ["DRIVING", "Shot", "Task", "write_given", "write_task"]

FORMAT = 1
DRIVING = ("expression", "gaze", "neck")
"""Arrays of a subject that tell what the person does in a shot."""


@dataclass(frozen=True)
class Shot:
    """One wanted picture."""

    name: str
    """Stem of its files."""
    frame: int
    """Frame of the recording whose moment it shows."""
    yaw: float
    """Where the camera stands, degrees; + is the subject's left."""
    pitch: float
    """Degrees; + is above."""
    group: str
    """The bin it is counted in."""


@dataclass(frozen=True)
class Task:
    """A task opened for reading."""

    path: Path
    """The folder."""
    name: str
    """For tables."""
    synthetic: bool
    """Whether depth and exact landmarks are known."""
    size: int
    """Pixels per side."""
    fps: float
    """Frames per second of the recording."""
    train: tuple[int, ...]
    """Training frames of the recording."""
    shots: tuple[Shot, ...]
    """The wanted pictures."""

    @classmethod
    def open(cls, path: Path) -> Task:
        """Open a task folder.

        Raises:
            FileNotFoundError: There is no whole task in the folder.
        """
        file = path / "task.json"
        if not file.is_file():
            message = f"{path} is no benchmark task: let talk3d benchmark write it"
            raise FileNotFoundError(message)
        content = json.loads(file.read_text())
        return cls(
            path=path,
            name=content["name"],
            synthetic=content["synthetic"],
            size=content["size"],
            fps=content["fps"],
            train=tuple(content["train"]),
            shots=tuple(Shot(**shot) for shot in content["shots"]),
        )

    @classmethod
    def claimed(cls, path: Path, about: Mapping[str, Any]) -> Task | None:
        """Open a whole task; where there is none, note what the folder will be of.

        Args:
            path: The folder.
            about: What the task is made of, in plain values.

        Raises:
            ValueError: What is there, whole or not, is of something else.
        """
        note = path / "about.json"
        if not note.is_file() and not (path / "task.json").is_file():
            with write_atomically(note) as temporary:
                temporary.write_text(json.dumps(dict(about), indent=1))
            return None
        theirs = json.loads(note.read_text()) if note.is_file() else {}
        differing = sorted(
            k for k in {*about, *theirs} if theirs.get(k) != about.get(k)
        )
        if differing:
            raise ValueError(
                f"{path} was begun with another {', '.join(differing)}; give another "
                "output folder or remove it."
            )
        return cls.open(path) if (path / "task.json").is_file() else None

    @property
    def given(self) -> Path:
        """What an outside system may see."""
        return self.path / "given"

    def subject(self) -> Subject:
        """Open the recording; only training frames are valid."""
        return Subject.open(self.path / "subject")

    def row(self, name: str) -> Path:
        """Return the folder of a system's pictures."""
        return self.path / "rows" / name

    def truth(self, shot: int) -> UInt8[np.ndarray, "size size 4"]:
        """Return a wanted picture, straight RGBA."""
        return _rgba(self.path / "truth" / f"{self.shots[shot].name}.png")

    def truth_arrays(self) -> dict[str, np.ndarray]:
        """Return landmarks (shots x 478 x 2, [0, 1]) and what else is known."""
        return load_file(self.path / "truth" / "truth.safetensors")

    def cameras(self) -> Float[np.ndarray, "shots 25"]:
        """Return the labels of the wanted pictures."""
        content = json.loads((self.given / "cameras.json").read_text())
        labels = [shot["label"] for shot in content["shots"]]
        return np.array(labels, np.float32)

    def driving(self) -> dict[str, np.ndarray]:
        """Return expression, gaze and neck of every shot."""
        return load_file(self.given / "driving.safetensors")


def write_task(
    path: Path,
    shots: Sequence[Shot],
    pictures: Sequence[UInt8[np.ndarray, "size size 4"]],
    truth: Mapping[str, np.ndarray],
    *,
    name: str,
    train: Sequence[int],
) -> Task:
    """Write truth and description; ``subject`` and ``given`` must be there.

    Args:
        path: The task's folder.
        shots: The wanted pictures.
        pictures: Straight RGBA of each.
        truth: Arrays over the shots; ``landmarks`` at least.
        name: For tables.
        train: Training frames of the recording.
    """
    folder = path / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    for shot, picture in zip(shots, pictures, strict=True):
        Image.fromarray(picture).save(folder / f"{shot.name}.png", compress_level=3)
    with write_atomically(folder / "truth.safetensors") as temporary:
        save_file(
            {key: np.ascontiguousarray(value) for key, value in truth.items()},
            temporary,
        )
    subject = Subject.open(path / "subject")
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "synthetic": bool(subject.info["synthetic"]),
        "size": subject.size,
        "fps": subject.fps,
        "train": [int(frame) for frame in train],
        "shots": [asdict(shot) for shot in shots],
    }
    with write_atomically(path / "task.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1))
    return Task.open(path)


def write_given(
    path: Path,
    recording: Subject,
    train: Sequence[int],
    shots: Sequence[Shot],
    cameras: Float[np.ndarray, "shots 25"],
) -> None:
    """Write what a system is given.

    Args:
        path: The folder ``given``; emptied first.
        recording: The recording; its driving arrays must know the shots' frames.
        train: Training frames, in order.
        shots: The wanted pictures.
        cameras: Their labels.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    wave = recording.audio()
    sounding = bool(np.abs(wave).max(initial=0.0) > 0)
    fps = recording.fps
    with tempfile.TemporaryDirectory(prefix="talk3d-benchmark-") as folder:
        sound = None
        if sounding:
            soundfile.write(path / "audio.wav", wave, AUDIO_RATE, subtype="PCM_16")
            sound = Path(folder) / "train.wav"
            soundfile.write(sound, _joined(wave, train, fps), AUDIO_RATE)
        frames = (recording.frame(frame) for frame in train)
        write_movie(path / "video.mp4", frames, fps=fps, sound=sound)
    arrays = recording.arrays
    listed = {
        "format": FORMAT,
        "size": recording.size,
        "fps": fps,
        "train": [
            _camera(f"{k:05d}", frame, fps, arrays["camera"][frame])
            for k, frame in enumerate(train)
        ],
        "shots": [
            _camera(shot.name, shot.frame, fps, label)
            for shot, label in zip(shots, cameras, strict=True)
        ],
    }
    (path / "cameras.json").write_text(json.dumps(listed))
    index = [shot.frame for shot in shots]
    driving = {name: np.ascontiguousarray(arrays[name][index]) for name in DRIVING}
    save_file(driving, path / "driving.safetensors")


def _camera(
    name: str, frame: int, fps: float, label: Float[np.ndarray, " 25"]
) -> dict[str, Any]:
    """Describe one camera; a frame shows its middle."""
    seconds = round((frame + 0.5) / fps, 4)
    return {"name": name, "seconds": seconds, "label": [float(x) for x in label]}


def _joined(
    wave: Float[np.ndarray, " samples"], frames: Sequence[int], fps: float
) -> Float[np.ndarray, " joined"]:
    """Return the sound of some frames, one after the other."""
    step = AUDIO_RATE / fps
    parts = [wave[round(k * step) : round((k + 1) * step)] for k in frames]
    return np.concatenate(parts)


def _rgba(path: Path) -> UInt8[np.ndarray, "size size 4"]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))
