"""Our rows: the personalised prior, and the same network without a prior.

Comes in: a task. Goes out: pictures and depth of its shots. The person is fitted to
the training frames and driven by what the recording's own camera sees of lips, lids,
brows, gaze and neck at the moment of each shot; nothing is learned from sound here, so
the rows tell shape and appearance apart from speech.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from talk3d.benchmark.task import Task
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.lips import face_signals
from talk3d.person import Person, load_person
from talk3d.personalize import PersonalizeConfig
from talk3d.pipeline import personalize_subject

__all__ = ["Fit", "draw_person", "fit_person", "shortened", "unlearned"]

_BATCH = 2
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Fit:
    """A fitted person."""

    generator: Path
    """The generator file."""
    seconds: float
    """Time the fit took; 0 when the file was there."""


def shortened(
    config: PersonalizeConfig, share: float, *, seed: int
) -> PersonalizeConfig:
    """Return a configuration with a share of the steps of tuning.

    The stages before are short, and what they do not find of a person (the colour of
    the hair behind the ears, a white collar) tuning does not find soon.
    """
    steps = max(1, round(share * config.tune_steps))
    return replace(config, seed=seed, tune_steps=steps)


def unlearned(prior: Path, out: Path, *, seed: int) -> Path:
    """Write a prior of the same sizes whose weights are random."""
    if not out.is_file():
        config = load_generator(prior).config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fresh = Generator(config)
        save_generator(out, fresh)
    return out


def fit_person(
    task: Task,
    out: Path,
    *,
    prior: Path,
    config: PersonalizeConfig,
    report: Report,
) -> Fit:
    """Fit a prior to a task's training frames; an interrupted fit goes on."""
    if out.is_file():
        return Fit(out, 0.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    personalize_subject(task.path / "subject", prior, out, config, report)
    return Fit(out, time.perf_counter() - started)


@torch.inference_mode()
def draw_person(task: Task, generator: Path, out: Path) -> None:
    """Write a fitted person's pictures (RGBA) and depth of all shots."""
    out.mkdir(parents=True, exist_ok=True)
    person = load_person(generator)
    cameras = torch.from_numpy(task.cameras())
    driving = {k: torch.from_numpy(v) for k, v in task.driving().items()}
    driving["face"] = face_signals(task.subject())[[shot.frame for shot in task.shots]]
    for rows in torch.arange(len(cameras)).split(_BATCH):
        batch = {name: values[rows] for name, values in driving.items()}
        pictures, depths = _drawn(person, cameras[rows], batch)
        for row, picture, depth in zip(rows.tolist(), pictures, depths, strict=True):
            name = task.shots[row].name
            Image.fromarray(picture).save(out / f"{name}.png", compress_level=3)
            np.save(out / f"{name}.npy", depth)


def _drawn(
    person: Person, cameras: Float[Tensor, "batch 25"], driving: dict[str, Tensor]
) -> tuple[
    UInt8[np.ndarray, "batch size size 4"], Float[np.ndarray, "batch small small"]
]:
    """Draw the person as face signals, a gaze and a neck have it."""
    network = person.generator
    w = person.styles(driving["face"], driving["gaze"])
    rendering = network.render(
        person.planes(w), cameras, network.sampling(), neck=driving["neck"]
    )
    picture = ((network.upsample(rendering, w) + 1) / 2).clamp(0, 1)
    if picture.shape[1] == 3:
        picture = torch.cat([picture, torch.ones_like(picture[:, :1])], dim=1)
    colour = (picture[:, :3] / picture[:, 3:].clamp(min=1e-3)).clamp(0, 1)
    rgba = torch.cat([colour, picture[:, 3:]], dim=1).permute(0, 2, 3, 1)
    seen = rendering.alpha > 0.5
    depth = torch.where(seen, rendering.depth, 0.0)[:, 0]
    return (
        (rgba * 255 + 0.5).to(torch.uint8).numpy(),
        depth.numpy(),
    )
