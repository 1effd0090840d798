"""The on-disk subject: one person's video as aligned crops with labels.

A subject is a folder::

    subject.json        format, source, fps, size, frames, split, report
    frames/00000.jpg    the square crop (quality 95, full chroma)
    matte/00000.png     8-bit matte of the person
    plate.png           the background without the person
    audio.wav           16 kHz mono, 16 bit
    arrays.safetensors  per-frame labels, see ``ARRAYS``

Frames are read one by one, so memory does not grow with the length of the video. The
crop is one square per video; all motion of the head is in the camera.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from talk3d.checkpoint import file_sha256, write_atomically

__all__ = [
    "ARRAYS",
    "AUDIO_RATE",
    "FORMAT",
    "TRACKED",
    "Subject",
    "SubjectWriter",
    "tracked_camera",
    "train_length",
]

FORMAT = 2
AUDIO_RATE = 16_000
GAP_SECONDS = 0.5
TRAIN_PART = 0.8
_QUALITY = 95

ARRAYS: dict[str, tuple[int, ...]] = {
    "camera": (25,),
    "landmarks": (478, 2),
    "blink": (2,),
    "gaze": (4,),
    "rotation": (3,),
    "expression": (53,),
    "torso": (3,),
    "neck": (4, 4),
    "valid": (),
}
"""Per-frame arrays and the shape of one row.

``camera`` EG3D label in the head frame; ``landmarks`` crop coordinates, 0 to 1;
``blink`` left, right, 0 open to 1 shut; ``gaze`` left yaw, pitch, right yaw, pitch in
radians; ``rotation`` head yaw, pitch, roll relative to the mean of the video in
radians; ``expression`` blend weights; ``torso`` where the head sits in the crop
(column, row, log scale, relative to the mean); ``neck`` motion of the head against the
torso, see ``talk3d.neck``; ``valid`` 1 where a face was found.
The array ``crop`` (x0, y0, side in source pixels, source scale) is one row.
"""
TRACKED = "tracked"
"""In memory, of a subject whose heads were moved (``talk3d.registration``): the cameras
of before. What a face does is read with these, so that it stays the same."""


@dataclass(frozen=True)
class Subject:
    """A subject folder opened for reading."""

    path: Path
    """The folder."""
    info: dict[str, Any]
    """The content of ``subject.json``."""
    arrays: dict[str, np.ndarray]
    """The labels, see ``ARRAYS``."""

    @classmethod
    def open(cls, path: Path) -> "Subject":
        """Open a subject folder.

        Raises:
            FileNotFoundError: if the folder is no subject.
            ValueError: if it is damaged or of another format version.
        """
        if not (path / "subject.json").is_file():
            message = f"{path} is no subject folder: make one with talk3d preprocess"
            raise FileNotFoundError(message)
        try:
            info = json.loads((path / "subject.json").read_text())
            arrays = load_file(path / "arrays.safetensors")
        except (ValueError, SafetensorError, OSError) as error:
            message = f"the subject {path} is damaged: run talk3d preprocess again"
            raise ValueError(message) from error
        if info.get("format") != FORMAT:
            message = (
                f"the subject {path} has format version {info.get('format')}, this"
                f" talk3d reads version {FORMAT}: run talk3d preprocess again"
            )
            raise ValueError(message)
        return cls(path=path, info=info, arrays=arrays)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.info["frames"]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.info["fps"]

    @property
    def size(self) -> int:
        """Pixels per side of the crop."""
        return self.info["size"]

    @property
    def train(self) -> range:
        """Frames to learn from: the first 80 %."""
        return range(*self.info["split"]["train"])

    @property
    def test(self) -> range:
        """Frames to test on: the last part, half a second after the training part."""
        return range(*self.info["split"]["test"])

    def fingerprint(self) -> str:
        """Return the hexadecimal sha256 of the labels: which recording this is."""
        return file_sha256(self.path / "arrays.safetensors")

    def is_parent(self, told: str | None) -> bool:
        """Return whether what a file tells as its parent is this recording."""
        # The description's hash was told before the labels' was.
        return told in (self.fingerprint(), file_sha256(self.path / "subject.json"))

    def frame(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        """Return one crop, sRGB."""
        with Image.open(self.path / "frames" / f"{index:05d}.jpg") as image:
            return np.asarray(image.convert("RGB"))

    def matte(self, index: int) -> UInt8[np.ndarray, "size size"]:
        """Return the matte of one frame: 255 is the person."""
        with Image.open(self.path / "matte" / f"{index:05d}.png") as image:
            return np.asarray(image.convert("L"))

    def plate(self) -> UInt8[np.ndarray, "size size 3"]:
        """Return the background without the person, sRGB."""
        with Image.open(self.path / "plate.png") as image:
            return np.asarray(image.convert("RGB"))

    def audio(self) -> Float[np.ndarray, " samples"]:
        """Return the sound, 16 kHz mono, -1 to 1."""
        wave, _ = soundfile.read(self.path / "audio.wav", dtype="float32")
        return wave


class SubjectWriter:
    """Writes a subject folder frame by frame; ``subject.json`` comes last.

    Use as a context manager. A folder without ``subject.json`` is unfinished and is
    completed by writing it again.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int,
        source_name: str,
        source_sha256: str,
        fps: float = 25.0,
        synthetic: bool = False,
    ) -> None:
        """Create the folder.

        Args:
            path: destination folder.
            size: pixels per side of the crop.
            source_name: name of the source video.
            source_sha256: its hash.
            fps: frames per second.
            synthetic: whether the person is a render and needs no consent.
        """
        self._path = path
        self._info: dict[str, Any] = {
            "format": FORMAT,
            "source": {"name": source_name, "sha256": source_sha256},
            "fps": fps,
            "size": size,
            "synthetic": synthetic,
        }
        for folder in ("frames", "matte"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        (path / "subject.json").unlink(missing_ok=True)

    def __enter__(self) -> "SubjectWriter":
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the folder; it is complete only after ``finish``."""

    def add_frame(
        self,
        index: int,
        image: UInt8[np.ndarray, "size size 3"],
        matte: UInt8[np.ndarray, "size size"],
    ) -> None:
        """Write one crop (sRGB) and its matte."""
        _save_image(self._path / "frames" / f"{index:05d}.jpg", image, quality=_QUALITY)
        _save_image(self._path / "matte" / f"{index:05d}.png", matte)

    def set_plate(self, image: UInt8[np.ndarray, "size size 3"]) -> None:
        """Write the background without the person (sRGB)."""
        _save_image(self._path / "plate.png", image)

    def set_audio(self, wave: Float[np.ndarray, " samples"]) -> None:
        """Write the sound: 16 kHz mono, -1 to 1."""
        with write_atomically(self._path / "audio.wav") as temporary:
            soundfile.write(temporary, wave, AUDIO_RATE, subtype="PCM_16")

    def finish(self, arrays: dict[str, np.ndarray], report: dict[str, Any]) -> None:
        """Write the labels and the description; after this the subject is complete.

        Args:
            arrays: one row per frame, see ``ARRAYS``, and ``crop``.
            report: the capture report.

        Raises:
            ValueError: if an array is missing or has a wrong shape.
        """
        frames = len(arrays["camera"])
        for name, shape in ARRAYS.items():
            given = arrays[name].shape if name in arrays else None
            if given != (frames, *shape):
                message = f"array {name} has shape {given}, not {(frames, *shape)}"
                raise ValueError(message)
        data = {
            name: np.ascontiguousarray(value, dtype=np.float32)
            for name, value in arrays.items()
        }
        with write_atomically(self._path / "arrays.safetensors") as temporary:
            save_file(data, temporary)
        train_end = train_length(frames)
        test_start = min(train_end + round(GAP_SECONDS * self._info["fps"]), frames)
        info = self._info | {
            "frames": frames,
            "split": {"train": [0, train_end], "test": [test_start, frames]},
            "report": report,
        }
        with write_atomically(self._path / "subject.json") as temporary:
            temporary.write_text(json.dumps(info, indent=1))


def tracked_camera(arrays: dict[str, np.ndarray]) -> Float[np.ndarray, "frames 25"]:
    """Return the cameras with which the face of a subject was tracked."""
    return arrays.get(TRACKED, arrays["camera"])


def train_length(frames: int) -> int:
    """Return how many frames of a recording are learned from, the first ones."""
    return int(TRAIN_PART * frames)


def _save_image(path: Path, pixels: np.ndarray, *, quality: int | None = None) -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if quality is None:
        image.save(buffer, "PNG", compress_level=3)
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    path.write_bytes(buffer.getvalue())
