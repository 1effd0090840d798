"""Write a talking synthetic person as a subject, with ground truth beside it.

The folder is a subject (``talk3d.dataset``) whose labels are exact, plus::

    source.mp4               the same pictures with sound, for the way from video
    truth/truth.json         seed, voice, phonemes, frames and angles of the views
    truth/arrays.safetensors lip_gap N (cm), turn N x 3 x 3, landmarks_3d N x 478 x 3
                             (world units, head frame), landmarks68_3d N x 68 x 3,
                             visible N x 478
    truth/recorded.safetensors, truth/yaw+30.safetensors, ...   image F,H,W,4 (straight
                             colour, coverage), depth F,H,W, normal F,H,W,3 (head
                             axes; hair excepted), part F,H,W, camera F,25

Truth views look at some of the frames from fixed directions in the head frame.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors.numpy import save_file

from talk3d.camera import orbit_label, project
from talk3d.checkpoint import write_atomically
from talk3d.dataset import SubjectWriter, train_length
from talk3d.synthetic.builtin import head_identity, open_head
from talk3d.synthetic.head import (
    LIPS_LOWER,
    LIPS_UPPER,
    expression_indices,
    rotation,
    to_world,
)
from talk3d.synthetic.landmarks import landmark_points
from talk3d.synthetic.light import Light, draw_light
from talk3d.synthetic.motion import Performance, perform
from talk3d.synthetic.movie import MovieWriter
from talk3d.synthetic.people import Person, make_person, pose_person
from talk3d.synthetic.plates import draw_plate
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import Roots, skin_surface
from talk3d.synthetic.speech import (
    Speech,
    make_speech,
    read_speech,
    speak_text,
)
from talk3d.synthetic.view import Picture, Pose, head_motion

__all__ = ["TalkConfig", "TalkScene", "compose", "visible_points", "write_talk"]

_VISIBLE = 0.006
"""A point this much farther than the surface seen (world units) is hidden."""


@dataclass(frozen=True)
class TalkConfig:
    """What a talking subject shows."""

    seed: int = 0
    """The person, the speech, the motion and the light."""
    seconds: float = 20.0
    """Length."""
    size: int = 256
    """Pixels per side."""
    fps: float = 25.0
    """Frames per second."""
    oversample: int = 3
    """Samples per pixel and axis."""
    truth_yaws: tuple[float, ...] = (-60.0, -30.0, 0.0, 30.0, 60.0)
    """Directions of the truth views, degrees."""
    truth_frames: int = 20
    """Frames seen in each truth view, spread over the clip."""
    text: str | None = None
    """What to say with espeak-ng; then ``seconds`` is not used."""
    voice: str = "en-us"
    """The espeak-ng voice of ``text``."""
    sound: Path | None = None
    """A recording to say; its phonemes lie beside it as ``.json``, see
    ``talk3d.synthetic.speech.read_speech``."""
    shown: int | None = None
    """Frames to learn from that are drawn, evenly spread; all others repeat the one
    before and are invalid. None: all frames are drawn."""

    def __post_init__(self) -> None:
        """Reject what cannot be made.

        Raises:
            ValueError: if a number is out of range.
        """
        for name in ("seconds", "size", "fps", "oversample"):
            if getattr(self, name) <= 0:
                message = f"{name} is {getattr(self, name)}: give a positive number"
                raise ValueError(message)
        if self.size % 8:
            message = f"size is {self.size}: give a multiple of 8"
            raise ValueError(message)
        if self.text is not None and self.sound is not None:
            message = "text and sound were both given: give one of them"
            raise ValueError(message)
        if self.seed < 0 or self.truth_frames < 0:
            message = "seed and truth_frames must not be negative"
            raise ValueError(message)
        if self.shown is not None and self.shown < 1:
            message = f"shown is {self.shown}: give at least 1, or none"
            raise ValueError(message)


def write_talk(out: Path, config: TalkConfig, *, head: Path | None = None) -> None:
    """Write a talking synthetic subject with its ground truth.

    Args:
        out: destination folder.
        config: what to show.
        head: the head model file; see ``talk3d.synthetic.builtin.open_head``.

    Raises:
        FileNotFoundError: if the named head model does not exist.
        OSError: if there is no OpenGL.
    """
    scene = TalkScene.open(config, head)
    frames = len(scene.performance.expression)
    drawn = _drawn(config, frames)
    plate = draw_plate(np.random.default_rng([config.seed, 53]), config.size)
    rows: dict[str, list[np.ndarray]] = {}
    movie = MovieWriter(out / "source.mp4", size=config.size, fps=config.fps)
    with (
        scene.renderer,
        SubjectWriter(
            out,
            size=config.size,
            source_name=f"synthetic person {config.seed}",
            source_sha256=scene.head_sha256,
            fps=config.fps,
            synthetic=True,
        ) as writer,
        movie,
    ):
        picture = None
        for index in range(frames):
            if picture is None or index in drawn:
                picture = scene.picture(index)
            row = scene.labels(index, picture)
            image = compose(picture, plate)
            writer.add_frame(index, image, picture.image[..., 3])
            movie.add(image)
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
        movie.set_audio(scene.speech.wave)
        writer.set_plate(plate)
        writer.set_audio(scene.speech.wave)
        arrays = {name: np.stack(values) for name, values in rows.items()}
        _write_truth(out / "truth", scene, arrays)
        known = _subject_arrays(scene, arrays)
        known["valid"] = np.isin(np.arange(frames), drawn).astype(np.float64)
        writer.finish(known, {"synthetic": _plain(config)})


def _drawn(config: TalkConfig, frames: int) -> Int[np.ndarray, " drawn"]:
    if config.shown is None:
        return np.arange(frames)
    train = train_length(frames)
    return np.linspace(0, train - 1, min(config.shown, train)).astype(int)


def compose(
    picture: Picture, plate: UInt8[np.ndarray, "size size 3"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Put a render in front of a background, sRGB."""
    alpha = picture.image[..., 3:].astype(np.float32) / 255
    mixed = picture.image[..., :3] * alpha + plate * (1 - alpha)
    return np.round(mixed).astype(np.uint8)


def visible_points(
    points: Float[np.ndarray, "points 3"],
    picture: Picture,
    label: Float[np.ndarray, "25"],
) -> UInt8[np.ndarray, " points"]:
    """Return 1 for head-frame points that the picture shows, else 0."""
    place, distance = project(torch.tensor(points), torch.tensor(label))
    size = len(picture.distance)
    column, row = np.clip((place.numpy() * size).astype(int), 0, size - 1).T
    seen = picture.distance[row, column]
    inside = ((place >= 0) & (place < 1)).all(-1).numpy()
    near = distance.numpy() < seen + _VISIBLE
    return (inside & (seen > 0) & near).astype(np.uint8)


@dataclass(frozen=True)
class TalkScene:
    """A person, a room camera and a performance, ready to be rendered."""

    config: TalkConfig
    renderer: Renderer
    person: Person
    points: Roots
    speech: Speech
    performance: Performance
    camera: np.ndarray
    """Label of the room's camera, in the torso's frame at rest."""
    light: Light
    head_sha256: str

    @classmethod
    def open(cls, config: TalkConfig, head: Path | None) -> "TalkScene":
        """Draw everything from the seed."""
        model = open_head(head)
        person = make_person(skin_surface(model), config.seed)
        renderer = Renderer(model, size=config.size, oversample=config.oversample)
        renderer.load(person)
        generator = np.random.default_rng([config.seed, 51])
        speech = _speech(config)
        return cls(
            config=config,
            renderer=renderer,
            person=person,
            points=landmark_points(model),
            speech=speech,
            performance=perform(speech, fps=config.fps, generator=generator),
            camera=_room_camera(generator),
            light=draw_light(np.random.default_rng([config.seed, 52])),
            head_sha256=head_identity(head),
        )

    def pose(self, index: int) -> Pose:
        """Return what the person does in a frame."""
        show = self.performance
        return Pose(
            expression=show.expression[index],
            gaze=show.gaze[index],
            turn=rotation(*show.turn[index].tolist()),
        )

    def label(self, index: int) -> Float[np.ndarray, "25"]:
        """Return the room camera as seen from the head in a frame."""
        body = np.eye(4)
        body[:3, 3] = self.performance.sway[index]
        motion = body @ head_motion(self.pose(index).turn)
        pose = np.linalg.inv(motion) @ self.camera[:16].reshape(4, 4)
        return np.r_[pose.ravel(), self.camera[16:]].astype(np.float32)

    def picture(self, index: int) -> Picture:
        """Render a frame."""
        return self.renderer.render(self.pose(index), self.label(index), self.light)

    def labels(self, index: int, picture: Picture) -> dict[str, np.ndarray]:
        """Return the labels of a frame, of which ``picture`` tells what is visible."""
        head, pose, label = self.renderer.head, self.pose(index), self.label(index)
        vertices = pose_person(head, self.person, pose.expression, pose.gaze)
        points = to_world(self.points.on(vertices).astype(np.float32))
        place, _ = project(torch.tensor(points), torch.tensor(label))
        gap = head.gap(vertices, LIPS_UPPER, LIPS_LOWER)
        return {
            "camera": label,
            "landmarks": place.numpy(),
            "landmarks_3d": points,
            "landmarks68_3d": to_world(vertices[head.landmarks]).astype(np.float32),
            "visible": visible_points(points, picture, label),
            "lip_gap": np.array(gap, np.float32),
            "turn": pose.turn.astype(np.float32),
        }


def _plain(config: TalkConfig) -> dict[str, Any]:
    """Return the settings as JSON knows them."""
    sound = None if config.sound is None else config.sound.name
    return asdict(config) | {"sound": sound}


def _speech(config: TalkConfig) -> Speech:
    if config.sound is not None:
        return read_speech(config.sound, config.sound.with_suffix(".json"))
    if config.text is not None:
        return speak_text(config.text, voice=config.voice, rate=155, pitch=50)
    return make_speech(config.seed, config.seconds)


def _room_camera(generator: np.random.Generator) -> np.ndarray:
    focal = float(np.exp(generator.uniform(np.log(3.0), np.log(5.5))))
    label = orbit_label(
        math.radians(generator.uniform(-12, 12)),
        math.radians(generator.uniform(-6, 6)),
        radius=2.7 * focal / 4.2647 * 1.08,
        focal=focal,
    )
    return label.double().numpy()


def _subject_arrays(
    scene: TalkScene, arrays: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the arrays of ``talk3d.dataset.ARRAYS``."""
    show, camera = scene.performance, arrays["camera"]
    frames = len(camera)
    centre, distance = project(torch.zeros(frames, 1, 3), torch.tensor(camera))
    scale = -np.log(distance.numpy())
    torso = np.concatenate([centre.numpy()[:, 0], scale], 1)
    size = float(scene.config.size)
    return {
        "camera": camera,
        "landmarks": arrays["landmarks"],
        "blink": show.expression[:, expression_indices("eyeBlink")],
        "gaze": show.gaze,
        "rotation": show.turn - show.turn.mean(0),
        "expression": show.expression,
        "torso": torso - torso.mean(0),
        "neck": np.stack([head_motion(turn) for turn in arrays["turn"]]),
        "crop": np.array([0, 0, size, 1.0]),
    }


def _write_truth(out: Path, scene: TalkScene, arrays: dict[str, np.ndarray]) -> None:
    config = scene.config
    frames = len(arrays["camera"])
    chosen = np.unique(
        np.linspace(0, frames - 1, min(config.truth_frames, frames)).astype(int)
    )
    names = {f"yaw{yaw:+.0f}": yaw for yaw in config.truth_yaws}
    out.mkdir(parents=True, exist_ok=True)
    if len(chosen):
        cameras = {"recorded": arrays["camera"][chosen]}
        for name, yaw in names.items():
            label = orbit_label(math.radians(yaw), 0.0).numpy()
            cameras[name] = np.repeat(label[None], len(chosen), 0)
        for name, labels in cameras.items():
            _write_view(out / f"{name}.safetensors", scene, chosen, labels)
    with write_atomically(out / "arrays.safetensors") as temporary:
        truths = ("lip_gap", "turn", "landmarks_3d", "landmarks68_3d", "visible")
        save_file({name: arrays[name] for name in truths}, temporary)
    content = {
        "config": _plain(config),
        "frames": chosen.tolist(),
        "views": names,
        "voice": scene.speech.source,
        "phonemes": [[p.start, p.end, p.name] for p in scene.speech.phonemes],
    }
    with write_atomically(out / "truth.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def _write_view(
    path: Path, scene: TalkScene, chosen: np.ndarray, labels: np.ndarray
) -> None:
    pictures = [
        scene.renderer.render(scene.pose(int(index)), label, scene.light)
        for index, label in zip(chosen, labels, strict=True)
    ]
    data = {
        "image": np.stack([picture.image for picture in pictures]),
        "depth": np.stack([picture.distance for picture in pictures]),
        "normal": np.stack([picture.normal for picture in pictures]).astype(np.float16),
        "part": np.stack([picture.part for picture in pictures]),
        "camera": np.ascontiguousarray(labels),
    }
    with write_atomically(path) as temporary:
        save_file(data, temporary)
