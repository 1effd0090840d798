"""Small drawn data for tests: a corpus of a coloured ball, and a ball that talks."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from talk3d.camera import camera_rays, orbit_label
from talk3d.dataset import AUDIO_RATE, Subject, SubjectWriter

RADIUS = 0.2


def ball(label: torch.Tensor, size: int, colour: tuple[float, float, float]):
    """Return straight RGBA bytes and the depth of a shaded ball."""
    origins, directions = camera_rays(label[None], size)
    middle = (origins * directions).sum(-1)
    inside = middle.square() - origins.square().sum(-1) + RADIUS**2
    depth = torch.where(inside > 0, -middle - inside.clamp(min=0).sqrt(), 0.0)
    normal = (origins + directions * depth[..., None]) / RADIUS
    light = (0.6 + 0.4 * normal[..., 1:2]).clamp(0, 1)
    rgb = 255 * light * torch.tensor(colour)
    alpha = 255.0 * (inside > 0)[..., None]
    image = torch.cat([rgb, alpha], dim=-1)[0].reshape(size, size, 4)
    return image.to(torch.uint8).numpy(), depth.reshape(size, size).numpy()


def write_ball_corpus(path: Path, *, people: int = 4, views: int = 3, size: int = 32):
    """Write a corpus whose people are balls of different colours."""
    rng = np.random.default_rng(0)
    path.mkdir(parents=True)
    rows: dict[str, list] = {
        name: [] for name in ("image", "depth", "camera", "person")
    }
    for person in range(people):
        colour = tuple(rng.uniform(0.3, 1.0, 3))
        for _ in range(views):
            label = orbit_label(float(rng.uniform(-1, 1)), 0.0)
            image, depth = ball(label, size, colour)
            rows["image"].append(image)
            rows["depth"].append(depth.astype(np.float16))
            rows["camera"].append(label.numpy())
            rows["person"].append(person)
    count = people * views
    data = {name: np.stack(values) for name, values in rows.items()}
    data["part"] = (data["image"][..., 3] > 0).astype(np.uint8)
    data["expression"] = np.zeros((count, 53), np.float32)
    data["gaze"] = np.zeros((count, 4), np.float32)
    data["neck"] = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    save_file(data, path / "shard-00000.safetensors")
    shard = {"file": "shard-00000.safetensors", "people": [0, people]}
    info = {"format": 2, "size": size, "shards": [shard]}
    (path / "corpus.json").write_text(json.dumps(info))
    return path


def write_ball_subject(path: Path, *, frames: int = 60, size: int = 32) -> Subject:
    """Write a subject whose head is a ball that turns a little."""
    turn = 0.2 * np.sin(np.arange(frames) / 9)
    labels = [orbit_label(float(angle), 0.0) for angle in turn]
    with SubjectWriter(
        path, size=size, source_name="ball", source_sha256="00", synthetic=True
    ) as writer:
        for index, label in enumerate(labels):
            image, _ = ball(label, size, (0.9, 0.6, 0.5))
            writer.add_frame(index, image[..., :3], image[..., 3])
        writer.set_plate(np.full((size, size, 3), 90, np.uint8))
        seconds = np.arange(int(frames / 25 * AUDIO_RATE)) / AUDIO_RATE
        wave = 0.3 * np.sin(2 * np.pi * 200 * seconds) * np.sin(9 * seconds)
        writer.set_audio(wave.astype(np.float32))
        rng = np.random.default_rng(1)
        marks = 0.5 + 0.1 * rng.standard_normal((1, 478, 2))
        writer.finish(
            {
                "camera": np.stack(labels),
                "landmarks": np.repeat(marks, frames, 0) + turn[:, None, None] / 20,
                "blink": np.zeros((frames, 2)),
                "gaze": np.zeros((frames, 4)),
                "rotation": np.stack([turn, 0 * turn, 0 * turn], 1),
                "expression": np.zeros((frames, 53)),
                "torso": np.zeros((frames, 3)),
                "neck": np.tile(np.eye(4), (frames, 1, 1)),
                "valid": np.ones(frames),
                "crop": np.array([0.0, 0.0, size, 1.0]),
            },
            {},
        )
    return Subject.open(path)


def write_speech_corpus(path: Path, *, frames: int = 600) -> Path:
    """Write a corpus of two sounds: low and high noise, each with its own mouth."""
    rng = np.random.default_rng(0)
    phone = (np.arange(frames) // 30 % 2).astype(np.uint8)
    band = np.arange(257) < 60
    power = np.where(band[None] == (phone[:, None] == 0), -30.0, -70.0)
    power = power + rng.normal(0, 2, power.shape)
    mouth = np.zeros((frames, 12))
    mouth[:, 0] = 0.5 * phone
    arrays = {
        "power": power.astype(np.float16),
        "mouth": mouth.astype(np.float16),
        "phone": phone,
        "start": np.array([0, frames]),
    }
    save_file(arrays, path / "speech-00000.safetensors")
    content = {"phones": ["_", "a"], "shards": ["speech-00000.safetensors"]}
    (path / "corpus.json").write_text(json.dumps(content))
    return path
