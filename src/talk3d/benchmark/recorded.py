"""The real-pose task: a person who turns the head, fitted on its frontal frames alone.

Comes in: a recording (subject folder or video). Frames seen from within ``fit``
degrees of yaw train; frames beyond ``score`` degrees are wanted. Cameras, mattes and
the face's shape come from preprocessing the *whole* recording, which every system gets
alike. There is no sound to drive by: expression, gaze and pose are the recorded ones.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import save_file

from talk3d.benchmark.task import Shot, Task, write_given, write_task
from talk3d.camera import yaw_pitch
from talk3d.checkpoint import file_sha256, write_atomically
from talk3d.dataset import Subject
from talk3d.interrupted import plain
from talk3d.preprocess.run import PreprocessConfig, preprocess

__all__ = ["RecordedConfig", "recorded_task", "spread_over"]


@dataclass(frozen=True)
class RecordedConfig:
    """What trains and what is wanted of a recording."""

    fit: float = 12.0
    """Degrees of yaw within which frames train."""
    score: float = 25.0
    """Degrees of yaw beyond which frames are wanted."""
    step: float = 5.0
    """Width of a bin of yaw, degrees."""
    most: int = 8
    """Pictures per bin and side."""

    def __post_init__(self) -> None:
        """Reject what cannot be.

        Raises:
            ValueError: Training and wanted frames overlap.
        """
        if not 0 < self.fit < self.score:
            raise ValueError(
                f"fit is {self.fit} and score {self.score} degrees; give 0 < fit < "
                "score."
            )


def recorded_task(path: Path, recording: Path, config: RecordedConfig) -> Task:
    """Write a real-pose task, or open it when it is there.

    Args:
        path: The task's folder.
        recording: A subject folder, or a video, which is preprocessed first.
        config: What trains and what is wanted.

    Raises:
        FileNotFoundError: The recording is absent.
        ValueError: No frame trains, none is wanted, or a task of another recording
            or configuration is there.
    """
    about = plain(config) | {"recording": _identity(recording)}
    found = Task.claimed(path, about)
    if found is not None:
        return found
    whole = _opened(path, recording)
    yaw, pitch = (
        np.degrees(angle.numpy())
        for angle in yaw_pitch(torch.from_numpy(whole.arrays["camera"]))
    )
    seen = whole.arrays["valid"] > 0
    train = np.flatnonzero(seen & (np.abs(yaw) <= config.fit)).tolist()
    shots = _shots(yaw, pitch, seen, config)
    if not train or not shots:
        raise ValueError(
            f"{recording} has {len(train)} frames within {config.fit} degrees of yaw "
            f"and {len(shots)} beyond {config.score}; record a person who turns the "
            "head from the front to the side."
        )
    index = [shot.frame for shot in shots]
    cameras = whole.arrays["camera"][index]
    write_given(path / "given", whole, train, shots, cameras)
    _keep(path / "subject", whole, train)
    pictures = [
        np.concatenate([whole.frame(k), whole.matte(k)[..., None]], -1) for k in index
    ]
    truth = {"landmarks": whole.arrays["landmarks"][index]}
    name = recording.stem.split("_")[0]
    return write_task(path, shots, pictures, truth, name=name, train=train)


def _identity(recording: Path) -> str:
    """Return the sha256 of a video or of a subject's labels."""
    if recording.is_dir():
        return Subject.open(recording).fingerprint()
    if not recording.is_file():
        raise FileNotFoundError(f"no recording at {recording}; check the name.")
    return file_sha256(recording)


def _opened(path: Path, recording: Path) -> Subject:
    """Open a subject, or preprocess a video into the task's folder."""
    if recording.is_dir():
        return Subject.open(recording)
    folder = path / "recording"
    if not (folder / "subject.json").is_file():
        preprocess(recording, folder, PreprocessConfig(silent=True))
    return Subject.open(folder)


def _shots(
    yaw: Float[np.ndarray, " frames"],
    pitch: Float[np.ndarray, " frames"],
    seen: np.ndarray,
    config: RecordedConfig,
) -> list[Shot]:
    """Choose the wanted frames: at most so many in each bin of yaw, spread in time."""
    far = np.flatnonzero(seen & (np.abs(yaw) > config.score))
    bins = np.floor((np.abs(yaw[far]) - config.score) / config.step)
    low = config.score + config.step * bins
    group = np.sign(yaw[far]) * low
    shots = []
    for edge in np.unique(group):
        for frame in spread_over(far[group == edge], config.most):
            number = f"{len(shots):05d}"
            name = f"yaw{edge:+.0f}"
            shot = Shot(
                number, int(frame), float(yaw[frame]), float(pitch[frame]), name
            )
            shots.append(shot)
    return shots


def spread_over(frames: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of some frames, evenly spaced."""
    if len(frames) <= most:
        return frames
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _keep(path: Path, whole: Subject, train: list[int]) -> None:
    """Write the recording with the training frames alone."""
    for folder, ending in (("frames", "jpg"), ("matte", "png")):
        (path / folder).mkdir(parents=True, exist_ok=True)
        for frame in train:
            name = f"{frame:05d}.{ending}"
            shutil.copyfile(whole.path / folder / name, path / folder / name)
    for name in ("plate.png", "audio.wav"):
        shutil.copyfile(whole.path / name, path / name)
    valid = np.zeros(whole.frames, np.float32)
    valid[train] = 1
    save_file(whole.arrays | {"valid": valid}, path / "arrays.safetensors")
    split = {"train": [0, whole.frames], "test": [whole.frames, whole.frames]}
    with write_atomically(path / "subject.json") as temporary:
        temporary.write_text(json.dumps(whole.info | {"split": split}, indent=1))
