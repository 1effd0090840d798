"""Training of the hearing network on a corpus of speech with its mouths.

Comes in: a folder of ``talk3d synth speech``. Goes out: the network, which has to read
mouth weights and phones from its embedding whatever the room, microphone and throat.
Chance is a function of (seed, step).
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.numpy import load_file
from torch import Tensor

from talk3d.audio import MelConfig
from talk3d.checkpoint import file_sha256, half_precision, save_model
from talk3d.interrupted import StateFile
from talk3d.learning import Schedule, learned
from talk3d.precision import body_precision
from talk3d.speech.augment import AugmentConfig, augment
from talk3d.speech.network import KIND, Hearing, HearingConfig

__all__ = ["HearingTrainConfig", "SpeechCorpus", "save_hearing", "train_hearing"]

_LEAST = 0.02
"""Smallest deviation that a mouth weight is divided by."""
_WARM, _DECAY = 200, 0.01
"""Steps of warm-up, and weight decay."""


@dataclass(frozen=True)
class HearingTrainConfig:
    """How the network is trained."""

    steps: int = 4000
    """Steps."""
    batch: int = 16
    """Pieces of speech per step."""
    frames: int = 300
    """Feature frames of a piece."""
    learning_rate: float = 2e-3
    """Adam step size, falling to zero along a cosine after a warm-up."""
    phone_weight: float = 0.5
    """Weight of the phones against the mouth."""
    seed: int = 0
    """Source of all chance."""
    half: bool = True
    """Run the body in bfloat16 where the CPU has it in hardware."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How speech is changed."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.steps, self.batch, self.frames) < 1:
            message = (
                f"steps {self.steps}, batch {self.batch}, frames {self.frames}: give at"
                " least 1 of each"
            )
            raise ValueError(message)


class SpeechCorpus:
    """A corpus in memory."""

    def __init__(self, folder: Path) -> None:
        """Read a corpus folder.

        Raises:
            FileNotFoundError: there is no corpus.
        """
        file = folder / "corpus.json"
        if not file.is_file():
            message = f"no speech corpus in {folder}: make one with talk3d synth speech"
            raise FileNotFoundError(message)
        content = json.loads(file.read_text(encoding="utf-8"))
        shards = [load_file(folder / name) for name in content["shards"]]
        self.file = file
        self.phones = len(content["phones"])
        self.power = np.concatenate([shard["power"] for shard in shards])
        self.mouth = np.concatenate([shard["mouth"] for shard in shards])
        self.phone = np.concatenate([shard["phone"] for shard in shards])
        sample = self.mouth[:: max(1, len(self.mouth) // 100_000)].astype(np.float32)
        self.mean = torch.from_numpy(sample.mean(0))
        self.spread = torch.from_numpy(sample.std(0)).clamp_min(_LEAST)

    def draw(
        self, count: int, frames: int, *, generator: torch.Generator
    ) -> tuple[
        Float[Tensor, "count frames bins"],
        Float[Tensor, "count frames mouth"],
        Int[Tensor, "count frames"],
    ]:
        """Return powers, standardised mouth weights and phones of pieces."""
        last = len(self.power) - frames + 1
        starts = torch.randint(last, (count,), generator=generator).tolist()
        index = np.array(starts)[:, None] + np.arange(frames)
        decibels = torch.from_numpy(self.power[index].astype(np.float32))
        mouth = torch.from_numpy(self.mouth[index].astype(np.float32))
        phone = torch.from_numpy(self.phone[index].astype(np.int64))
        power = torch.exp(decibels * (math.log(10) / 10))
        return power, (mouth - self.mean) / self.spread, phone


def train_hearing(
    corpus: SpeechCorpus,
    config: HearingTrainConfig,
    *,
    state: StateFile | None = None,
) -> Iterator[tuple[int, dict[str, float], Hearing]]:
    """Train, yielding the step, the loss terms and the network.

    Args:
        corpus: speech.
        config: how to train.
        state: where the run goes on from and is kept; none: it is not kept.

    Raises:
        FloatingPointError: if a loss is not finite.
        ValueError: if the state is of another run.
    """
    mel = MelConfig()
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = Hearing(HearingConfig(phones=corpus.phones))
    run = {"configuration": asdict(config), "corpus": file_sha256(corpus.file)}

    def step(chance: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        power, mouth, phone = corpus.draw(config.batch, config.frames, generator=chance)
        features = augment(power, config.augment, mel, generator=chance)
        with body_precision(features.device, config.half):
            heard = network(features)
        told = network.mouth(heard.float())
        sounds = network.phone(heard.float()).transpose(1, 2)
        terms = {
            "mouth": F.smooth_l1_loss(told, mouth[:, ::2][:, : told.shape[1]]),
            "phone": config.phone_weight * F.cross_entropy(sounds, phone[:, ::2]),
        }
        return torch.stack(list(terms.values())).sum(), terms

    schedule = Schedule(config.steps, config.learning_rate, _WARM, _DECAY, config.seed)
    name = "the hearing network"
    yield from learned(name, network, step, schedule, run=run, state=state)


def save_hearing(
    path: Path, network: Hearing, corpus: SpeechCorpus, *, step: int
) -> None:
    """Write the network as a model file, at half precision."""
    save_model(
        path,
        half_precision(network.state_dict()),
        kind=KIND,
        config=asdict(network.config),
        step=step,
        parents={"corpus": file_sha256(corpus.file)},
        extra={"mean": corpus.mean.tolist(), "spread": corpus.spread.tolist()},
    )
