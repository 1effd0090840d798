"""Write training shards: synthetic people from many sides with exact labels.

A corpus is a folder with ``corpus.json`` and ``shard-00000.safetensors``, ...; each
shard holds whole people. What a person looks like and does depends on the corpus's
seed and the person's index only, so a resumed corpus equals an uninterrupted one.
"""

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import save_file

from talk3d.camera import (
    DEFAULT_FOCAL,
    DEFAULT_PIVOT,
    DEFAULT_RADIUS,
    intrinsics_matrix,
    look_at,
    pack_label,
)
from talk3d.checkpoint import file_sha256, write_atomically
from talk3d.synthetic.builtin import head_identity, open_head
from talk3d.synthetic.expressions import draw_expression, draw_gaze
from talk3d.synthetic.head import rotation
from talk3d.synthetic.light import draw_light
from talk3d.synthetic.people import make_person
from talk3d.synthetic.renderer import Renderer
from talk3d.synthetic.skull import Surface, skin_surface
from talk3d.synthetic.traits import person_traits
from talk3d.synthetic.view import Pose, head_motion

__all__ = ["FORMAT", "CorpusConfig", "draw_camera", "person_seed", "write_corpus"]

_log = logging.getLogger(__name__)

FORMAT = 2
_PARTS = ["nothing", "skin", "lips", "mouth", "teeth", "eyes", "hair", "worn"]
_DEFAULT_CAMERA_SHARE = 0.4
_BACK_SHARE = 0.05
_FOCALS = (2.5, 6.0)


@dataclass(frozen=True)
class CorpusConfig:
    """What a corpus holds."""

    people: int = 1000
    """Number of people."""
    views: int = 10
    """Pictures per person."""
    size: int = 256
    """Pixels per side."""
    seed: int = 0
    """What everything is drawn from."""
    first_person: int = 0
    """Index of the first person; two corpora that share no index share no person."""
    shard_people: int = 8
    """People per shard."""
    oversample: int = 2
    """Samples per pixel and axis."""

    def __post_init__(self) -> None:
        """Reject what cannot be made.

        Raises:
            ValueError: if a number is out of range.
        """
        for name in ("people", "views", "size", "shard_people", "oversample"):
            if getattr(self, name) < 1:
                message = f"{name} is {getattr(self, name)}: give at least 1"
                raise ValueError(message)
        if self.size % 8:
            message = f"size is {self.size}: give a multiple of 8"
            raise ValueError(message)
        if self.seed < 0 or self.first_person < 0:
            message = "seed and first_person must not be negative"
            raise ValueError(message)


def write_corpus(
    out: Path, config: CorpusConfig, *, head: Path | None = None
) -> dict[str, Any]:
    """Write a corpus, or what is missing of it.

    Finished shards are kept if their hash is right. ``corpus.json`` lists the shards
    that are finished, so a corpus can be read while it grows.

    Args:
        out: destination folder.
        config: what to make.
        head: the head model file; see ``talk3d.synthetic.builtin.open_head``.

    Returns:
        The content of ``corpus.json``.

    Raises:
        FileNotFoundError: if the named head model does not exist.
        ValueError: if the folder holds another corpus.
        OSError: if there is no OpenGL.
    """
    description = {
        "format": FORMAT,
        **asdict(config),
        "head": head_identity(head),
        "parts": _PARTS,
    }
    finished = _finished(out, description)
    end = config.first_person + config.people
    starts = range(config.first_person, end, config.shard_people)
    plan = {
        f"shard-{index:05d}.safetensors": [start, min(start + config.shard_people, end)]
        for index, start in enumerate(starts)
    }
    shards = {
        name: finished[name]
        for name, people in plan.items()
        if finished.get(name, {}).get("people") == people
    }
    missing = {name: people for name, people in plan.items() if name not in shards}
    if missing:
        _make_missing(
            out, config, head, description=description, plan=plan, shards=shards
        )
    content = _content(description, plan, shards)
    _describe(out, content)
    return content


def _make_missing(
    out: Path,
    config: CorpusConfig,
    head: Path | None,
    *,
    description: dict[str, Any],
    plan: dict[str, list[int]],
    shards: dict[str, dict[str, Any]],
) -> None:
    """Render the shards of the plan that are not in ``shards``; put them there."""
    model = open_head(head)
    surface = skin_surface(model)
    with Renderer(model, size=config.size, oversample=config.oversample) as renderer:
        for name, people in plan.items():
            if name in shards:
                continue
            shards[name] = _write_shard(
                out / name, range(*people), config, surface=surface, renderer=renderer
            )
            _describe(out, _content(description, plan, shards))
            _log.info("%s: people %d to %d are done", name, people[0], people[1] - 1)


def _content(
    description: dict[str, Any],
    plan: dict[str, list[int]],
    shards: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Return ``corpus.json``: the description and the finished shards in order."""
    return description | {"shards": [shards[name] for name in plan if name in shards]}


def person_seed(seed: int, person: int) -> int:
    """Return the seed of a person of a corpus."""
    return int(np.random.SeedSequence([seed, person]).generate_state(1, np.uint64)[0])


def draw_camera(generator: np.random.Generator) -> Float[np.ndarray, "25"]:
    """Draw a label in the head frame.

    Yaw is normal with 38° up to 88°, one in twenty from behind; pitch normal with
    11°. Four in ten have the default focal length; else it is drawn from 2.5 to 6 and
    the distance grows with it. The aim wanders a little, and the camera rolls.
    """
    yaw = float(np.clip(generator.normal(0, 38), -88, 88))
    if generator.random() < _BACK_SHARE:
        yaw = float(generator.choice([-1, 1]) * generator.uniform(120, 180))
    pitch = float(np.clip(generator.normal(0, 11), -35, 35))
    focal = DEFAULT_FOCAL
    if generator.random() >= _DEFAULT_CAMERA_SHARE:
        focal = float(np.exp(generator.uniform(*np.log(_FOCALS))))
    radius = DEFAULT_RADIUS * focal / DEFAULT_FOCAL * generator.uniform(0.95, 1.08)
    a, b = math.radians(yaw), math.radians(pitch)
    away = [math.sin(a) * math.cos(b), math.sin(b), math.cos(a) * math.cos(b)]
    target = np.array(DEFAULT_PIVOT) + generator.normal(0, 0.012, 3)
    position = torch.tensor(np.array(away) * radius)
    pose = look_at(position, torch.tensor(target))
    roll = rotation(0, 0, generator.normal(0, 0.04))
    pose[:3, :3] = pose[:3, :3] @ torch.tensor(roll)
    label = pack_label(pose.float(), intrinsics_matrix(focal))
    return label.numpy()


def _draw_turn(generator: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Draw a small turn of the head against the torso; half the time none."""
    if generator.random() < 0.5:
        return np.eye(3)
    angles = np.clip(generator.normal(0, 1, 3) * [6, 5, 4], -12, 12)
    return rotation(*np.radians(angles))


def _write_shard(
    path: Path,
    people: range,
    config: CorpusConfig,
    *,
    surface: Surface,
    renderer: Renderer,
) -> dict[str, Any]:
    """Render some people; return the shard's entry in ``corpus.json``."""
    rows: dict[str, list[np.ndarray]] = {}
    for index in people:
        seed = person_seed(config.seed, index)
        person = make_person(surface, seed)
        renderer.load(person)
        traits = person_traits(surface.head, person)
        light = draw_light(np.random.default_rng([seed, 99]))
        for view in range(config.views):
            generator = np.random.default_rng([seed, 100 + view])
            pose = Pose(
                expression=draw_expression(generator),
                gaze=draw_gaze(generator),
                turn=_draw_turn(generator),
            )
            camera = draw_camera(generator)
            picture = renderer.render(pose, camera, light)
            row = {
                "image": picture.image,
                "depth": picture.distance.astype(np.float16),
                "part": picture.part,
                "camera": camera,
                "expression": pose.expression,
                "gaze": pose.gaze,
                "neck": head_motion(pose.turn).astype(np.float32),
                "person": np.int64(index),
                "traits": traits,
            }
            for name, value in row.items():
                rows.setdefault(name, []).append(np.asarray(value))
    with write_atomically(path) as temporary:
        save_file({name: np.stack(values) for name, values in rows.items()}, temporary)
    return {
        "file": path.name,
        "sha256": file_sha256(path),
        "people": [people.start, people.stop],
    }


def _finished(out: Path, description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the finished shards of a corpus by name.

    A longer corpus of the same seed continues a shorter one.
    """
    file = out / "corpus.json"
    if not file.is_file():
        return {}
    old = json.loads(file.read_text())
    differing = [
        name
        for name, value in description.items()
        if name != "people" and old.get(name) != value
    ]
    if differing:
        message = (
            f"{out} holds another corpus: {', '.join(differing)} differ; choose another"
            " folder or the same settings"
        )
        raise ValueError(message)
    good = {}
    for shard in old["shards"]:
        path = out / shard["file"]
        if path.is_file() and file_sha256(path) == shard["sha256"]:
            good[shard["file"]] = shard
    return good


def _describe(out: Path, content: dict[str, Any]) -> None:
    with write_atomically(out / "corpus.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1))
