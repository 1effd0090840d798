"""A made-up recording of a head that turns, and its task."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from tests.drawn import ball

from talk3d.benchmark.recorded import RecordedConfig, recorded_task
from talk3d.benchmark.task import Task
from talk3d.camera import orbit_label, project
from talk3d.dataset import SubjectWriter
from talk3d.face import load_face_shape

SIZE = 32


def turning_subject(path: Path, frames: int = 24) -> Path:
    """Write a ball with a face's landmarks, seen from 0 to 40 degrees of yaw."""
    labels = [
        orbit_label(math.radians(yaw), 0.0, pivot=(0.0, 0.0, 0.0))
        for yaw in np.linspace(0, 40, frames)
    ]
    face = torch.tensor(load_face_shape().mean, dtype=torch.float32)
    with SubjectWriter(
        path, size=SIZE, source_name="ball", source_sha256="0" * 64
    ) as writer:
        for k, label in enumerate(labels):
            image, _ = ball(label, SIZE, (0.9, 0.6, 0.5))
            writer.add_frame(k, np.ascontiguousarray(image[..., :3]), image[..., 3])
        writer.set_plate(np.zeros((SIZE, SIZE, 3), np.uint8))
        writer.set_audio(np.zeros(frames * 640, np.float32))
        marks = [project(face, label)[0].numpy() for label in labels]
        writer.finish(
            {
                "camera": torch.stack(labels).numpy(),
                "landmarks": np.stack(marks),
                "blink": np.zeros((frames, 2)),
                "gaze": np.zeros((frames, 4)),
                "rotation": np.zeros((frames, 3)),
                "expression": np.zeros((frames, 53)),
                "torso": np.zeros((frames, 3)),
                "neck": np.tile(np.eye(4), (frames, 1, 1)),
                "valid": np.ones(frames),
                "crop": np.array([0.0, 0.0, SIZE, 1.0]),
            },
            {},
        )
    return path


def turning_task(path: Path) -> Task:
    """Write the task of the turning ball."""
    subject = turning_subject(path / "turner_1")
    return recorded_task(path / "task", subject, RecordedConfig(most=3))
