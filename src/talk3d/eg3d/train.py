"""Training of the prior: one trainer, stages as configurations.

Comes in: a corpus of labelled pictures. Goes out: a run folder with
``prior.safetensors`` (the averaged generator), ``state.pt`` (everything needed to go
on) and ``metrics.jsonl``. Chance is a function of (seed, step), so a resumed run
equals an uninterrupted one.

Identities are learned codes; expression and gaze are known and given as conditions.
The point stage teaches the field at points (``points.py``); the image stage renders
whole pictures through the volume and the super-resolution (``images.py``).
"""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from talk3d.checkpoint import write_atomically
from talk3d.eg3d.condition import condition_vector
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.corpus import Corpus, CorpusBatch
from talk3d.eg3d.generator import Generator, load_generator, save_generator
from talk3d.eg3d.images import image_losses
from talk3d.eg3d.points import point_loss, sample_points
from talk3d.eg3d.stylegan2 import Linear
from talk3d.precision import body_precision

__all__ = [
    "LINEAR_RATE",
    "PriorTrainConfig",
    "load_weights",
    "parameter_groups",
    "train_prior",
]

LINEAR_RATE = 10.0
"""Step size of linear layers over that of convolutions.

Both store weights of deviation 1; demodulated convolutions tolerate less change.
"""

_OCCUPANCY_WEIGHT = 0.3
_CODE_WEIGHT = 1e-4
_EMA_STEPS = 200


@dataclass(frozen=True)
class PriorTrainConfig:
    """How the prior is trained."""

    generator: GeneratorConfig
    """The network."""
    stage: Literal["points", "images"] = "points"
    """Which objective: points by exact depth, or whole pictures."""
    steps: int = 4000
    """Length of the run; the learning rate falls to a tenth along a cosine."""
    people: int = 2
    """People per step; each gives two pictures."""
    pixels: int = 4000
    """Pixels per picture in the point stage."""
    learning_rate: float = 2e-3
    """Adam step size of the network and of the identity codes."""
    held_out: int = 20
    """The last people of the corpus are never trained on."""
    seed: int = 0
    """Source of all chance."""
    checkpoint_steps: int = 250
    """Steps between checkpoints."""
    half: bool = True
    """Run convolutions in bfloat16 where the CPU has it in hardware."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.steps < 1 or self.people < 1 or self.pixels < 1:
            message = (
                f"steps {self.steps}, people {self.people} and pixels {self.pixels}"
                " must all be at least 1"
            )
            raise ValueError(message)


@dataclass
class _State:
    """All that changes while training."""

    generator: Generator
    average: Generator
    codes: nn.Embedding
    optimiser: torch.optim.Adam
    step: int = 0
    seconds: float = 0.0


def train_prior(
    corpus: Corpus,
    run: Path,
    config: PriorTrainConfig,
    *,
    init: dict[str, Tensor] | None = None,
) -> Iterator[dict[str, float]]:
    """Train, yielding the metrics of every step.

    Args:
        corpus: labelled pictures.
        run: folder of the run; a run that stopped goes on from its last checkpoint.
        config: how to train.
        init: weights of a generator (and optionally ``codes``) to start from when
            the run is new.

    Raises:
        ValueError: if the run was started with another configuration.
        FloatingPointError: if a loss is not finite.
    """
    run.mkdir(parents=True, exist_ok=True)
    people = _people_of(corpus, config)
    trained = [int(corpus.person[images[0]]) for images in people]
    state = _start(run, config, corpus, init=init)

    def load(step: int) -> CorpusBatch:
        chance = torch.Generator().manual_seed(_seed(config, step))
        return corpus.batch(_draw_pairs(people, config.people, generator=chance))

    with (run / "metrics.jsonl").open("a") as log, ThreadPoolExecutor(1) as loader:
        coming = loader.submit(load, state.step)
        while state.step < config.steps:
            started = time.perf_counter()
            batch = coming.result()
            coming = loader.submit(load, state.step + 1)
            metrics = _step(state, batch, config)
            state.seconds += time.perf_counter() - started
            metrics |= {"step": float(state.step), "seconds": state.seconds}
            log.write(json.dumps(metrics) + "\n")
            log.flush()
            if state.step % config.checkpoint_steps == 0 or state.step == config.steps:
                _save(state, run, config, trained)
            yield metrics


def load_weights(run: Path) -> dict[str, Tensor]:
    """Return weights that ``train_prior`` may start from.

    Args:
        run: the folder of a run (its averaged weights and its codes) or a prior file
            (weights alone; the people of a corpus get new codes).

    Raises:
        FileNotFoundError: if the folder holds no run.
        ValueError: if the file is not a prior.
    """
    if run.is_file():
        return load_generator(run).state_dict()
    if not (run / "state.pt").is_file():
        message = (
            f"{run} holds no training run: give the folder of a prior's training, or a"
            " prior file"
        )
        raise FileNotFoundError(message)
    saved = torch.load(run / "state.pt", weights_only=True)
    return saved["average"] | {"codes": saved["codes"]["weight"]}


def _seed(config: PriorTrainConfig, step: int) -> int:
    return config.seed * 1_000_003 + step


def parameter_groups(
    generator: Generator,
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of convolutions and those of linear layers."""
    linear = [
        parameter
        for module in generator.modules()
        if isinstance(module, Linear)
        for parameter in module.parameters()
    ]
    known = {id(parameter) for parameter in linear}
    others = [p for p in generator.parameters() if id(p) not in known]
    return others, linear


def _step(
    state: _State, batch: CorpusBatch, config: PriorTrainConfig
) -> dict[str, float]:
    chance = torch.Generator().manual_seed(_seed(config, state.step) + 500_000_000)
    _set_rates(state.optimiser, config, state.step)
    code = state.codes(batch.person)
    with body_precision(config.half):
        w = state.generator.map(code, condition_vector(batch.expression, batch.gaze))
        planes = state.generator.planes(w)
    terms = _objective(state.generator, planes, w, batch, config, chance)
    terms["code"] = _CODE_WEIGHT * code.square().mean()
    for name, value in terms.items():
        if not torch.isfinite(value):
            message = f"the loss term {name} is {value.item()} at step {state.step}"
            raise FloatingPointError(message)
    state.optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    state.optimiser.step()
    _average(state)
    state.step += 1
    return {name: value.item() for name, value in terms.items()}


def _objective(
    generator: Generator,
    planes: Tensor,
    w: Tensor,
    batch: CorpusBatch,
    config: PriorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    if config.stage == "images":
        return image_losses(
            generator, planes, w, batch, half=config.half, chance=chance
        )
    targets = sample_points(batch, config.pixels, generator=chance)
    raw, features = generator.query(planes, targets.points)
    density = generator.density(raw)
    colour = 2 * features[:, : config.pixels, :3] - 1
    error, entropy = point_loss(targets, density, colour)
    return {"colour": error, "occupancy": _OCCUPANCY_WEIGHT * entropy}


def _people_of(corpus: Corpus, config: PriorTrainConfig) -> list[list[int]]:
    images: dict[int, list[int]] = {}
    for index, person in enumerate(corpus.person.tolist()):
        images.setdefault(person, []).append(index)
    people = [images[person] for person in sorted(images)]
    kept = people[: len(people) - config.held_out]
    if not kept:
        message = (
            f"the corpus has {len(people)} people and {config.held_out} are held out:"
            " nobody is left to train on; hold out fewer or render more people"
        )
        raise ValueError(message)
    return kept


def _draw_pairs(
    people: list[list[int]], count: int, *, generator: torch.Generator
) -> list[int]:
    """Draw two pictures each of ``count`` people."""
    chosen = torch.randint(len(people), (count,), generator=generator).tolist()
    indices = []
    for person in chosen:
        order = torch.randperm(len(people[person]), generator=generator)[:2]
        pair = [people[person][i] for i in order.tolist()]
        indices += pair if len(pair) == 2 else pair * 2
    return indices


def _set_rates(
    optimiser: torch.optim.Adam, config: PriorTrainConfig, step: int
) -> None:
    warm = min(1.0, (step + 1) / 100)
    fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / config.steps))
    rates = (
        config.learning_rate,
        LINEAR_RATE * config.learning_rate,
        config.learning_rate,
    )
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate * warm * fall


@torch.no_grad()
def _average(state: _State) -> None:
    decay = min(1 - 1 / _EMA_STEPS, (state.step + 1) / (state.step + 10))
    pairs = zip(state.average.parameters(), state.generator.parameters(), strict=True)
    for old, new in pairs:
        old.lerp_(new, 1 - decay)


def _start(
    run: Path,
    config: PriorTrainConfig,
    corpus: Corpus,
    *,
    init: dict[str, Tensor] | None,
) -> _State:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        generator = Generator(config.generator)
        average = Generator(config.generator)
        table = _first_codes(corpus, config.generator.z_dim)
    if init is not None:
        weights = dict(init)
        known = weights.pop("codes", None)
        generator.load_state_dict(weights)
        if known is not None:
            table.weight.data[: len(known)] = known[: len(table.weight)]
    average.load_state_dict(generator.state_dict())
    average.requires_grad_(False)
    groups = [*parameter_groups(generator), list(table.parameters())]
    state = _State(
        generator,
        average,
        table,
        torch.optim.Adam([{"params": group} for group in groups], betas=(0.0, 0.99)),
    )
    if (run / "state.pt").is_file():
        _resume(state, run, config)
    return state


def _first_codes(corpus: Corpus, length: int) -> nn.Embedding:
    """Return the first codes: the standardised traits, then noise.

    What the renderer knows of a person (shape weights, colours, hair style) makes
    similar people neighbours from the start; the codes learn the rest.
    """
    people = int(corpus.person.max()) + 1
    table = nn.Embedding(people, length)
    nn.init.normal_(table.weight, std=0.3)
    traits = torch.from_numpy(corpus.traits[:people])
    if traits.shape[1] == 0:
        return table
    spread = traits.std(0, correction=0)
    known = (traits - traits.mean(0)) / spread.clamp(min=1e-3)
    count = min(length, known.shape[1])
    table.weight.data[: len(known), :count] = known[:, :count].clamp(-3, 3)
    return table


def _resume(state: _State, run: Path, config: PriorTrainConfig) -> None:
    saved = torch.load(run / "state.pt", weights_only=True)
    differing = [
        name
        for name, value in json.loads(json.dumps(asdict(config))).items()
        if saved["config"].get(name) != value
    ]
    if differing:
        message = (
            f"the run {run} was started with another {', '.join(differing)}:"
            " use the same configuration or another folder"
        )
        raise ValueError(message)
    state.generator.load_state_dict(saved["generator"])
    state.average.load_state_dict(saved["average"])
    state.codes.load_state_dict(saved["codes"])
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step, state.seconds = saved["step"], saved["seconds"]


def _save(
    state: _State, run: Path, config: PriorTrainConfig, people: list[int]
) -> None:
    plain = json.loads(json.dumps(asdict(config)))
    _centre(state, people)
    with write_atomically(run / "state.pt") as temporary:
        torch.save(
            {
                "config": plain,
                "generator": state.generator.state_dict(),
                "average": state.average.state_dict(),
                "codes": state.codes.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
                "seconds": state.seconds,
            },
            temporary,
        )
    save_generator(
        run / "prior.safetensors",
        state.average,
        step=state.step,
        extra={
            "people": len(people),
            "seconds": round(state.seconds),
            "training": plain,
        },
    )


@torch.no_grad()
def _centre(state: _State, people: list[int]) -> None:
    """Describe the people trained on: spread of codes, average neutral style."""
    codes = state.codes.weight[people]
    state.average.z_avg.copy_(codes.mean(0))
    state.average.z_std.copy_(codes.std(0))
    neutral = condition_vector(torch.zeros(len(codes), 53), torch.zeros(len(codes), 4))
    w = state.average.map(codes, neutral)
    state.average.set_average(w[:, 0].mean(0))
