"""Training of the judge on synthetic mouths and what they say.

Comes in: a folder of ``talk3d synth speech``. Goes out: the network, which has to find
the sound of each frame among all moments of the same speech and of others'. Mouths are
those of drawn people: other faces, turned, smiling, mumbling, seen by a noisy tracker.
Chance is a function of (seed, step).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.audio import MelConfig
from talk3d.checkpoint import file_sha256, half_precision, save_model
from talk3d.face import load_face_shape
from talk3d.interrupted import StateFile, plain
from talk3d.judge.mouth import mouth_lengths
from talk3d.judge.network import (
    FPS,
    KIND,
    STEPS,
    JudgeConfig,
    SyncJudge,
    moments,
)
from talk3d.learning import Schedule, learned
from talk3d.speech.augment import AugmentConfig, augment
from talk3d.speech.network import MOUTH
from talk3d.speech.train import SpeechCorpus

__all__ = ["JudgeTrainConfig", "MouthModel", "save_judge", "train_judge"]

_CANTHI = (33, 263)
_EDGE = 8
"""Frames at both ends that are not asked for: they lack their neighbourhood."""
_NEAR = 1.5
"""Sound frames within which a moment is as good as the true one."""
_WARM, _DECAY = 200, 0.01
"""Steps of warm-up, and weight decay."""


@dataclass(frozen=True)
class JudgeTrainConfig:
    """How the network is trained."""

    steps: int = 3000
    """Steps."""
    batch: int = 16
    """Pieces of speech per step."""
    frames: int = 75
    """Picture frames of a piece."""
    learning_rate: float = 2e-3
    """Adam step size, falling to zero along a cosine after a warm-up."""
    seed: int = 1
    """Source of all chance."""
    network: JudgeConfig = field(default_factory=JudgeConfig)
    """Sizes of the network."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How speech is changed."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        least = 2 * _EDGE + 1
        if min(self.steps, self.batch) < 1 or self.frames < least:
            message = (
                f"steps {self.steps}, batch {self.batch}, frames {self.frames}: give at"
                f" least 1, 1 and {least}"
            )
            raise ValueError(message)


class MouthModel:
    """Drawn people's mouths from the mouth weights of speech."""

    def __init__(self) -> None:
        """Read the face shape that ships with the package."""
        shape = load_face_shape()
        names = np.array(shape.expression_names)
        sides = [np.isin(names, (name, f"{name}_L", f"{name}_R")) for name in MOUTH]
        moved = np.stack([shape.expression[side].sum(0) for side in sides])
        self._mean = torch.from_numpy(np.asarray(shape.mean, np.float32))
        self._identity = torch.from_numpy(np.asarray(shape.identity, np.float32))
        self._moved = torch.from_numpy(moved.astype(np.float32))

    def seen(
        self, weights: Float[Tensor, "b frames mouth"], *, generator: torch.Generator
    ) -> Float[Tensor, "b frames 4"]:
        """Return the lengths of drawn people's mouths, relative to their median.

        Args:
            weights: mouth weights, one row per frame.
            generator: draws people, how they articulate and hold the head, and noise.
        """
        batch, frames, mouth = weights.shape

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        strength = torch.exp(-0.2 + 0.4 * normal(batch, 1, 1))
        each = torch.exp(0.2 * normal(batch, 1, mouth))
        drift = _slow(normal(batch, frames, mouth))
        weights = weights * strength * each + 0.08 * normal(batch, 1, 1).abs() * drift
        people = self._mean + torch.einsum(
            "bk,kpx->bpx", 0.7 * normal(batch, len(self._identity)), self._identity
        )
        faces = people[:, None] + torch.einsum("btm,mpx->btpx", weights, self._moved)
        angles = torch.tensor([0.35, 0.2]) * normal(batch, 2)
        turned = _turned(faces, angles, _slow(normal(batch, frames, 2)))
        right, left = (people[:, point] for point in _CANTHI)
        scale = (right - left).norm(dim=-1)[:, None]
        noise = torch.rand(batch, 1, 1, 1, generator=generator) * 0.006
        shaken = turned + noise * scale[..., None, None] * normal(*turned.shape)
        lengths = mouth_lengths(shaken, scale)
        return lengths - lengths.median(1, keepdim=True).values


def train_judge(
    corpus: SpeechCorpus,
    config: JudgeTrainConfig,
    *,
    state: StateFile | None = None,
) -> Iterator[tuple[int, dict[str, float], SyncJudge]]:
    """Train, yielding the step, the measures of the step and the network.

    Measures: ``loss`` (nats) and ``found``, the share of frames whose likeliest moment
    of the same speech is at most half a picture frame away.

    Args:
        corpus: speech.
        config: how to train.
        state: where the run goes on from and is kept; none: it is not kept.

    Raises:
        FloatingPointError: if the loss is not finite.
        ValueError: if the state is of another run.
    """
    mel, people = MelConfig(), MouthModel()
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = SyncJudge(config.network)
    run = plain(config) | {"corpus": file_sha256(corpus.file)}

    def step(chance: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        length = config.frames * STEPS
        power, mouth, _ = corpus.draw(config.batch, length, generator=chance)
        weights = mouth * corpus.spread + corpus.mean
        shown = weights.unflatten(1, (-1, STEPS))[:, :, STEPS // 2]
        mouths = people.seen(shown, generator=chance)
        features = augment(power, config.augment, mel, generator=chance)
        loss, found = _agreement(network, mouths, features)
        return loss, {"loss": loss, "found": found}

    schedule = Schedule(config.steps, config.learning_rate, _WARM, _DECAY, config.seed)
    yield from learned("the judge", network, step, schedule, run=run, state=state)


def save_judge(
    path: Path, network: SyncJudge, corpus: SpeechCorpus, *, step: int
) -> None:
    """Write the network as a model file, at half precision."""
    save_model(
        path,
        half_precision(network.state_dict()),
        kind=KIND,
        config=asdict(network.config),
        step=step,
        parents={"corpus": file_sha256(corpus.file)},
    )


def _agreement(
    network: SyncJudge,
    mouths: Float[Tensor, "b frames 4"],
    features: Float[Tensor, "b steps mels"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the cross-entropy of the true moments, and the share of frames found."""
    batch, frames = mouths.shape[:2]
    seen, heard = network(mouths, features)
    own = seen @ heard.transpose(1, 2)
    others = torch.einsum("bfw,csw->bfcs", seen, heard[:, ::STEPS])
    same = torch.eye(batch, dtype=torch.bool)[:, None, :, None]
    others = others.masked_fill(same, -math.inf).flatten(2)
    true = moments(frames)
    away = torch.arange(own.shape[-1]) - true[:, None]
    wanted = torch.exp(-0.5 * (away / _NEAR) ** 2)
    wanted = wanted / wanted.sum(1, keepdim=True)
    told = torch.cat([own, others], dim=-1).log_softmax(-1)[..., : own.shape[-1]]
    inner = slice(_EDGE, frames - _EDGE)
    loss = -(wanted * told).sum(-1)[:, inner].mean()
    error = (told.argmax(-1) - true).abs()
    return loss, (error <= STEPS // 2)[:, inner].float().mean()


def _slow(noise: Float[Tensor, "b frames n"]) -> Float[Tensor, "b frames n"]:
    """Smooth noise over about a second and bring it back to deviation 1."""
    width = FPS // 2
    steps = torch.arange(-2 * width, 2 * width + 1)
    taps = torch.exp(-0.5 * (steps / width) ** 2)
    flat = noise.transpose(1, 2).flatten(0, 1)[:, None]
    smooth = functional.conv1d(flat, taps[None, None], padding=2 * width)
    smooth = smooth / taps.square().sum().sqrt()
    return smooth[:, 0].unflatten(0, (len(noise), -1)).transpose(1, 2)


def _turned(
    faces: Float[Tensor, "b frames points 3"],
    angles: Float[Tensor, "b 2"],
    motion: Float[Tensor, "b frames 2"],
) -> Float[Tensor, "b frames points 2"]:
    """See faces from afar, turned by yaw and pitch that move a little."""
    yaw, pitch = (angles[:, None] + 0.06 * motion)[..., None].unbind(2)
    x, y, z = faces.unbind(-1)
    x, z = x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin()
    return torch.stack([x, y * pitch.cos() - z * pitch.sin()], dim=-1)
