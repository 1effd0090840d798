"""Synthetic tasks: talkers filmed from the front, asked for from everywhere.

The recording is ``talk3d.synthetic.talking``'s: a person talks before a camera within
12 degrees of the front. Wanted are moments of its test part, seen from a sphere of
cameras around the head; the renderer knows what they see, how far it is, and where
the landmarks are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import load_file

from talk3d.benchmark.task import Shot, Task, write_given, write_task
from talk3d.camera import orbit_label, project
from talk3d.dataset import Subject
from talk3d.interrupted import plain
from talk3d.synthetic.builtin import head_identity, open_head
from talk3d.synthetic.light import draw_light
from talk3d.synthetic.people import make_person
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.talking import TalkConfig, visible_points, write_talk
from talk3d.synthetic.view import Picture, Pose

__all__ = ["SecondCamera", "SyntheticConfig", "synthetic_task"]

_LIGHT_STREAM = 52
_RADIUS, _PIVOT = 3.1, (0.0, 0.03, 0.02)
"""World units: the whole head stays in the picture from every side."""


@dataclass(frozen=True)
class SyntheticConfig:
    """A synthetic task."""

    seed: int = 0
    """The person, the speech, the motion and the light."""
    seconds: float = 12.0
    """Length of the recording; the first 80 % train."""
    size: int = 256
    """Pixels per side."""
    oversample: int = 3
    """Samples per pixel and axis of the renderer."""
    yaws: tuple[float, ...] = (-75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75)
    """Cameras on the horizon, degrees."""
    pitches: tuple[float, ...] = (-25, -12.5, 12.5, 25)
    """Cameras above and below the front, degrees."""
    moments: int = 4
    """Moments of the test part seen by each camera."""
    shown: int | None = None
    """Training frames that are shown, evenly spread; none: all."""

    def __post_init__(self) -> None:
        """Reject what cannot be.

        Raises:
            ValueError: A number is out of range.
        """
        if self.moments < 1:
            raise ValueError(f"moments is {self.moments}; give at least 1.")
        if self.shown is not None and self.shown < 1:
            raise ValueError(f"shown is {self.shown}; give at least 1, or none.")
        for name in ("yaws", "pitches"):
            if any(abs(angle) >= 90 for angle in getattr(self, name)):
                raise ValueError(
                    f"{name} is {getattr(self, name)}; give degrees below 90."
                )


class SecondCamera:
    """Sees a written synthetic talker from any side, in the recording's light.

    Use as a context manager.
    """

    def __init__(
        self, subject: Path, *, oversample: int, head: Path | None = None
    ) -> None:
        """Draw the person again from the seed.

        Args:
            subject: Folder written by ``write_talk``.
            oversample: Samples per pixel and axis.
            head: The head model it was written with.

        Raises:
            FileNotFoundError: The folder is no synthetic talker.
            ValueError: It was written with another head model.
            OSError: There is no OpenGL.
        """
        note = subject / "truth" / "truth.json"
        if not note.is_file():
            raise FileNotFoundError(
                f"{subject} has no ground truth; write it with talk3d synth talk."
            )
        opened = Subject.open(subject)
        if opened.info["source"]["sha256"] != head_identity(head):
            raise ValueError(
                f"{subject} was written with another head model; name the same one "
                "in TALK3D_HEAD, or write it again."
            )
        config = json.loads(note.read_text())["config"]
        truth = load_file(subject / "truth" / "arrays.safetensors")
        self._turn, self._points = truth["turn"], truth["landmarks_3d"]
        self._arrays = opened.arrays
        model = open_head(head)
        person = make_person(skin_surface(model), config["seed"])
        self._light = draw_light(np.random.default_rng([config["seed"], _LIGHT_STREAM]))
        self._renderer = Renderer(model, size=config["size"], oversample=oversample)
        self._renderer.load(person)

    def __enter__(self) -> SecondCamera:
        """Return the camera."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the renderer."""
        self._renderer.__exit__(kind, value, trace)

    def see(self, frame: int, label: Float[np.ndarray, " 25"]) -> Picture:
        """Return what a camera sees at the moment of a frame."""
        pose = Pose(
            expression=self._arrays["expression"][frame],
            gaze=self._arrays["gaze"][frame],
            turn=self._turn[frame].astype(np.float64),
        )
        return self._renderer.render(pose, label, self._light)

    def landmarks(
        self, frame: int, label: Float[np.ndarray, " 25"], picture: Picture
    ) -> tuple[Float[np.ndarray, "478 2"], Float[np.ndarray, " 478"]]:
        """Return the landmarks in a picture, [0, 1], and which of them it shows."""
        points = self._points[frame]
        place, _ = project(torch.tensor(points), torch.tensor(label))
        shown = visible_points(points, picture, label)
        return place.numpy(), shown.astype(np.float32)


def synthetic_task(
    path: Path, config: SyntheticConfig, *, head: Path | None = None
) -> Task:
    """Write a synthetic task, or open it when it is there.

    Args:
        path: The task's folder.
        config: What it shows.
        head: The head model; see ``talk3d.synthetic.builtin.open_head``.

    Raises:
        ValueError: A task of another configuration or head model is there.
    """
    about = plain(config) | {"head": head_identity(head)}
    found = Task.claimed(path, about)
    if found is not None:
        return found
    talk = TalkConfig(
        seed=config.seed,
        seconds=config.seconds,
        size=config.size,
        oversample=config.oversample,
        truth_frames=0,
        shown=config.shown,
    )
    if not (path / "subject" / "subject.json").is_file():
        write_talk(path / "subject", talk, head=head)
    recording = Subject.open(path / "subject")
    valid = recording.arrays["valid"]
    train = [frame for frame in recording.train if valid[frame]]
    views = list(_views(config, recording))
    shots = [shot for shot, _ in views]
    labels = np.stack([label for _, label in views])
    write_given(path / "given", recording, train, shots, labels)
    pictures, truth = [], {"landmarks": [], "visible": [], "depth": [], "part": []}
    with SecondCamera(
        path / "subject", oversample=config.oversample, head=head
    ) as camera:
        for shot, label in views:
            picture = camera.see(shot.frame, label)
            marks, shown = camera.landmarks(shot.frame, label, picture)
            pictures.append(picture.image)
            values = (marks, shown, picture.distance, picture.part)
            for values_so_far, value in zip(truth.values(), values, strict=True):
                values_so_far.append(value)
    arrays = {name: np.stack(values) for name, values in truth.items()}
    name = f"synthetic {config.seed}"
    return write_task(path, shots, pictures, arrays, name=name, train=train)


def _views(
    config: SyntheticConfig, recording: Subject
) -> Iterator[tuple[Shot, Float[np.ndarray, " 25"]]]:
    """Yield every wanted picture with its camera, one camera after the other."""
    part = recording.test
    count = min(config.moments, len(part))
    frames = [part[int((k + 0.5) * len(part) / count)] for k in range(count)]
    angles = [(yaw, 0.0) for yaw in config.yaws]
    angles += [(0.0, pitch) for pitch in config.pitches]
    number = 0
    for yaw, pitch in angles:
        label = orbit_label(
            math.radians(yaw), math.radians(pitch), radius=_RADIUS, pivot=_PIVOT
        ).numpy()
        group = f"yaw{yaw:+.0f}" if pitch == 0 else f"pitch{pitch:+.1f}"
        for frame in frames:
            yield Shot(f"{number:05d}", frame, yaw, pitch, group), label
            number += 1
