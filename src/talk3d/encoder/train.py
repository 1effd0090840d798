"""Training of the encoder on a corpus and the codes that a prior learned for it.

Comes in: a corpus, and the run folder of the prior. Goes out: the network. Each step
shows two pictures each of some people from about the front, changed as cameras and
codecs change pictures. Code, expression, gaze and camera are told exactly; the
embedding has to pick out the other picture of the same person (supervised contrastive
loss, Khosla et al. 2020). Chance is a function of (seed, step).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.eg3d.corpus import Corpus
from talk3d.encoder.network import WIDEST, Encoded, Encoder, EncoderConfig
from talk3d.interrupted import StateFile
from talk3d.learning import Schedule, learned
from talk3d.precision import body_precision

__all__ = ["EncoderTrainConfig", "altered", "train_encoder"]

_WARM, _DECAY = 100, 0.05
"""Steps of warm-up, and weight decay."""


@dataclass(frozen=True)
class EncoderTrainConfig:
    """How the encoder is trained."""

    network: EncoderConfig
    """Its sizes."""
    steps: int = 3000
    """Length of the run; the step size falls to nothing along a cosine."""
    people: int = 16
    """People per step, two pictures each."""
    learning_rate: float = 1e-3
    """AdamW step size."""
    yaw: float = WIDEST
    """Pictures within so many degrees of the front are shown."""
    held_out: int = 20
    """The last people of the corpus are never trained on."""
    temperature: float = 0.1
    """Of the contrastive loss."""
    contrast: float = 0.2
    """Its weight."""
    seed: int = 0
    """Source of all chance."""
    half: bool = True
    """Run convolutions in bfloat16 where the CPU has it in hardware."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.steps, self.people) < 1:
            message = (
                f"steps {self.steps}, people {self.people}: give at least 1 of each"
            )
            raise ValueError(message)


def train_encoder(
    corpus: Corpus,
    codes: Float[Tensor, "people z"],
    config: EncoderTrainConfig,
    *,
    state: StateFile | None = None,
) -> Iterator[tuple[int, dict[str, float], Encoder]]:
    """Train, yielding the step, the loss terms and the network.

    Args:
        corpus: pictures.
        codes: the prior's code of each person, by index.
        config: how to train.
        state: where the run goes on from and is kept; none: it is not kept.

    Raises:
        ValueError: if the codes are not those of the corpus, too few people are
            shown twice from the front, or the state is of another run.
        FloatingPointError: if a loss is not finite.
    """
    people = int(corpus.person.max()) + 1
    if len(codes) != people:
        message = (
            f"the prior has codes of {len(codes)} people, the corpus {corpus.path}"
            f" shows {people}: give the corpus that the prior was trained on"
        )
        raise ValueError(message)
    shown = _from_the_front(corpus, config)
    if len(shown) < config.people:
        message = (
            f"the corpus {corpus.path} shows {len(shown)} people twice from the front,"
            f" {config.people} are needed: render more"
        )
        raise ValueError(message)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = Encoder(config.network)
    known = codes[[person for person, _ in shown]]
    network.mean.copy_(known.mean(0))
    network.spread.copy_(known.std(0, correction=0).clamp(min=1e-3))
    run = {
        "configuration": asdict(config),
        "number of pictures": len(corpus.person),
        "prior": hashlib.sha256(codes.contiguous().numpy().tobytes()).hexdigest(),
    }

    def step(chance: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        terms = _terms(network, corpus, shown, codes, config, chance)
        return torch.stack(list(terms.values())).sum(), terms

    schedule = Schedule(config.steps, config.learning_rate, _WARM, _DECAY, config.seed)
    yield from learned("the encoder", network, step, schedule, run=run, state=state)


def _terms(
    network: Encoder,
    corpus: Corpus,
    shown: list[tuple[int, list[int]]],
    codes: Tensor,
    config: EncoderTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    chosen = torch.randperm(len(shown), generator=chance)[: config.people].tolist()
    rows = []
    for index in chosen:
        pictures = shown[index][1]
        order = torch.randperm(len(pictures), generator=chance)[:2].tolist()
        rows += [pictures[k] for k in order]
    batch = corpus.batch(rows)
    colour = (batch.colour + 1) / 2
    picture = altered(colour, batch.alpha, config.network.size, chance)
    with body_precision(picture.device, config.half):
        told: Encoded = network(picture)
    wanted = codes[batch.person]
    error = (told.code - wanted) / network.spread
    return {
        "code": error.square().mean(),
        "expression": 10 * (told.expression - batch.expression).square().mean(),
        "gaze": 10 * (told.gaze - batch.gaze).square().mean(),
        "camera": 10 * (told.camera - _direction(batch.camera)).square().mean(),
        "contrast": config.contrast * _contrast(told.embedding, config.temperature),
    }


def _contrast(
    embedding: Float[Tensor, "pictures e"], temperature: float
) -> Float[Tensor, ""]:
    """Return the cross-entropy of finding the neighbour among all other pictures."""
    alike = embedding @ embedding.T / temperature
    alike = alike.masked_fill(torch.eye(len(alike), dtype=torch.bool), -math.inf)
    partner = torch.arange(len(alike)) ^ 1
    return functional.cross_entropy(alike, partner)


def altered(
    colour: Float[Tensor, "batch 3 side side"],
    alpha: Float[Tensor, "batch 1 side side"],
    size: int,
    chance: torch.Generator,
) -> Float[Tensor, "batch 4 {size} {size}"]:
    """Return pictures as another camera might have taken them, premultiplied.

    Shifted, scaled, turned, lit and balanced a little differently, sometimes blurred,
    noisy, or cut below the chin.
    """
    count = len(colour)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=chance)

    angle, scale = 0.06 * normal(), torch.exp(0.08 * normal())
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift = 0.06 * normal(2)
    motion = torch.stack(
        [
            torch.stack([cosine, -sine, shift[:, 0]], dim=1),
            torch.stack([sine, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(motion, [count, 4, size, size], align_corners=False)
    picture = torch.cat([colour * alpha, alpha], dim=1)
    shrunk = functional.interpolate(picture, (2 * size, 2 * size), mode="area")
    picture = functional.grid_sample(shrunk, grid, align_corners=False)
    gain = torch.exp(0.15 * normal(1, 1, 1) + 0.05 * normal(3, 1, 1))
    gamma = torch.exp(0.15 * normal(1, 1, 1))
    straight = picture[:, :3] / picture[:, 3:].clamp(min=1e-3)
    straight = (gain * straight.clamp(1e-4, 1) ** gamma).clamp(0, 1)
    small = functional.avg_pool2d(straight, 2)
    soft = functional.interpolate(small, (size, size), mode="bilinear")
    blur = torch.rand(count, 1, 1, 1, generator=chance)
    straight = straight + blur * (soft - straight)
    noise = 0.04 * torch.rand(count, 1, 1, 1, generator=chance)
    straight = (straight + noise * normal(3, size, size)).clamp(0, 1)
    low = torch.rand(count, generator=chance) * 0.6 + 0.7
    height = (torch.arange(size) + 0.5) / size
    kept = (height[None] < low[:, None]).float()[:, None, :, None]
    matte = picture[:, 3:] * kept
    return torch.cat([straight * matte, matte], dim=1) * 2 - 1


def _direction(camera: Float[Tensor, "batch 25"]) -> Float[Tensor, "batch 3"]:
    """Return where cameras stand as seen from the head, unit length."""
    place = camera[:, :16].unflatten(1, (4, 4))[:, :3, 3]
    return functional.normalize(place, dim=1)


def _from_the_front(
    corpus: Corpus, config: EncoderTrainConfig
) -> list[tuple[int, list[int]]]:
    """Return the people who are shown twice from the front, with the pictures."""
    camera = np.concatenate([shard["camera"] for shard in corpus.shards])
    place = _direction(torch.from_numpy(np.array(camera)).float())
    yaw = torch.atan2(place[:, 0], place[:, 2]).rad2deg().abs()
    rows: dict[int, list[int]] = {}
    for row in torch.nonzero(yaw < config.yaw)[:, 0].tolist():
        rows.setdefault(int(corpus.person[row]), []).append(row)
    people = sorted(set(corpus.person.tolist()))
    kept = set(people[: max(0, len(people) - config.held_out)])
    return [(p, r) for p, r in sorted(rows.items()) if p in kept and len(r) > 1]
