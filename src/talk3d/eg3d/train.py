"""Training of the prior: one trainer, stages as configurations.

Comes in: a corpus of labelled pictures. Goes out: a run folder with
``prior.safetensors`` (the averaged generator), ``state.pt`` (everything needed to go
on) and ``metrics.jsonl``. Chance is a function of (seed, step), so a resumed run
equals an uninterrupted one.

Identities are learned codes; expression and gaze are known and given as conditions.
The point stage teaches the field at points (``points.py``); the image stage renders
windows of pictures through the volume and the super-resolution (``images.py``); the
adversarial stage does so, too, has what it shows judged (``adversary.py``), and on
every second step shows people that it makes up.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from talk3d.checkpoint import write_atomically
from talk3d.eg3d.adversary import Judged, roughness, swapped
from talk3d.eg3d.corpus import Corpus, CorpusBatch
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.image_set import ImageSet
from talk3d.eg3d.images import (
    draw_windows,
    picture_losses,
    premultiplied,
    render_windows,
    upsample_windows,
)
from talk3d.eg3d.points import point_loss, sample_points
from talk3d.eg3d.state import PriorTrainConfig, TrainState
from talk3d.eg3d.team import Team
from talk3d.precision import body_precision, denormals_dropped

__all__ = ["LINEAR_RATE", "train_prior"]

LINEAR_RATE = 10.0
"""Step size of linear layers over that of convolutions.

Both store weights of deviation 1; demodulated convolutions tolerate less change.
"""

_OCCUPANCY_WEIGHT = 0.3
_CODE_WEIGHT = 1e-4


def train_prior(
    corpus: Corpus | ImageSet,
    run: Path,
    config: PriorTrainConfig,
    *,
    init: dict[str, Tensor] | None = None,
    team: Team | None = None,
) -> Iterator[dict[str, float]]:
    """Train, yielding the metrics of every step.

    Args:
        corpus: pictures; without depth only the adversarial stage can be trained.
        run: folder of the run; a run that stopped goes on from its last checkpoint.
        config: how to train.
        init: weights of a generator (and optionally ``codes``) to start from when
            the run is new.
        team: the processes that share the steps; None: this one alone. All read the
            run's folder, the first writes it.

    Raises:
        ValueError: if the run was started with another configuration, the stage
            needs more than is known of the pictures, or the shares of a step cannot
            be dealt out evenly.
        FloatingPointError: if a loss is not finite.
    """
    if not corpus.labelled and config.stage != "adversarial":
        message = (
            f"the pictures in {corpus.path} have no depth, which the stage"
            f" {config.stage} needs: use the stage adversarial"
        )
        raise ValueError(message)
    team = team or Team()
    shares = team.own(config.shares)
    run.mkdir(parents=True, exist_ok=True)
    people = _people_of(corpus, config)
    trained = [int(corpus.person[images[0]]) for images in people]
    state = TrainState.start(config, corpus, trained, init=init)
    state.resume(run)

    def load(step: int) -> list[CorpusBatch]:
        chances = [_chance(config, step, share) for share in shares]
        return [
            corpus.batch(_draw_pairs(people, config.people, generator=chance))
            for chance in chances
        ]

    first = team.rank == 0
    with _log(run, state.step, first=first) as log, ThreadPoolExecutor(1) as loader:
        coming = loader.submit(load, state.step)
        while state.step < config.steps:
            started = time.perf_counter()
            batches = coming.result()
            coming = loader.submit(load, state.step + 1)
            made_up = config.stage == "adversarial" and (
                not corpus.labelled or state.step % 2 == 1
            )
            work = dict(zip(shares, batches, strict=True))
            with denormals_dropped():
                metrics = _step(state, work, config, team, made_up=made_up)
            state.seconds += time.perf_counter() - started
            metrics |= {"step": float(state.step), "seconds": state.seconds}
            log.write(json.dumps(metrics) + "\n")
            log.flush()
            due = state.step % config.checkpoint_steps == 0
            if first and (due or state.step == config.steps):
                state.save(run)
            yield metrics


def _log(run: Path, done: int, *, first: bool) -> TextIO:
    """Open the metrics; steps that are done again are taken out."""
    path = run / "metrics.jsonl"
    if not first:
        return Path(os.devnull).open("a")
    if path.is_file():
        lines = path.read_text().splitlines()[:done]
        with write_atomically(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))
    return path.open("a")


def _chance(config: PriorTrainConfig, step: int, share: int) -> torch.Generator:
    seed = config.seed * 1_000_003 + step + share * 1_000_000_000
    return torch.Generator().manual_seed(seed)


def _step(
    state: TrainState,
    work: dict[int, CorpusBatch],
    config: PriorTrainConfig,
    team: Team,
    *,
    made_up: bool,
) -> dict[str, float]:
    """Follow the mean gradient of all shares, of which this process does some."""
    _set_rates(state.optimiser, config, state.step)
    optimisers = [state.optimiser]
    if state.adversary is not None:
        optimisers.append(state.adversary.optimiser)
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    metrics = [
        _share(state, batch, config, share, made_up=made_up)
        for share, batch in work.items()
    ]
    for optimiser in optimisers:
        team.add_up(p for group in optimiser.param_groups for p in group["params"])
        optimiser.step()
    state.count()
    return team.mean(metrics)


def _share(
    state: TrainState,
    batch: CorpusBatch,
    config: PriorTrainConfig,
    share: int,
    *,
    made_up: bool,
) -> dict[str, float]:
    """Add a share of the step's gradients and return its metrics."""
    chance = _chance(config, state.step + 500_000_000, share)
    terms, judged = _objective(state, batch, config, chance, made_up=made_up)
    for name, value in terms.items():
        if not torch.isfinite(value):
            message = f"the loss term {name} is {value.item()} at step {state.step}"
            raise FloatingPointError(message)
    (torch.stack(list(terms.values())).sum() / config.shares).backward()
    metrics = {name: value.item() for name, value in terms.items()}
    if state.adversary is not None and judged is not None:
        metrics |= state.adversary.study(
            *judged, state.step, shares=config.shares, half=config.half
        )
    return metrics


def _objective(
    state: TrainState,
    batch: CorpusBatch,
    config: PriorTrainConfig,
    chance: torch.Generator,
    *,
    made_up: bool,
) -> tuple[dict[str, Tensor], tuple[Judged, Judged] | None]:
    """Return the loss terms, and what is to be judged: made and true."""
    generator, adversary = state.generator, state.adversary
    people = batch.person
    code = state.made_up(len(people), chance) if made_up else state.codes(people)
    part = state.step / config.steps
    camera = None
    if adversary is not None and config.adversary.swap is not None:
        share = config.adversary.swap_at(part)
        camera = swapped(batch.camera, share, chance=chance)
    condition = generator.condition(batch.expression, batch.gaze, camera)
    with body_precision(code.device, config.half):
        w = generator.map(code, condition)
        planes = generator.planes(w)
    terms = {} if made_up else {"code": _CODE_WEIGHT * code.square().mean()}
    if config.stage == "points":
        return terms | _point_terms(generator, planes, batch, config, chance), None
    cells = config.generator.neural_size
    windows = draw_windows(batch, config.times, cells, chance=chance)
    size = cells // config.times
    if adversary is not None and made_up:
        size = config.adversary.rays_at(part, size)
    rendering = render_windows(
        generator, planes, windows, size=size, known=not made_up, chance=chance
    )
    shown = upsample_windows(generator, rendering, w, config.times, half=config.half)
    if not made_up:
        terms |= picture_losses(shown, windows, texture=config.texture)
    if adversary is None:
        return terms, None
    blur = config.adversary.blur_at(part)
    fake = Judged.made(shown, windows).blurred(blur)
    terms["adversarial"] = adversary.loss(fake, half=config.half)
    rough = roughness(generator, planes, chance=chance)
    terms["density"] = config.adversary.density * rough
    true = Judged.of(premultiplied(windows, fake.picture.shape[-1]), fake)
    true = true.blurred(blur)
    return terms, (fake, true)


def _point_terms(
    generator: Generator,
    planes: Tensor,
    batch: CorpusBatch,
    config: PriorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    targets = sample_points(batch, config.pixels, generator=chance)
    raw, features = generator.query(planes, targets.points)
    density = generator.density(raw)
    colour = 2 * features[:, : config.pixels, :3] - 1
    error, entropy = point_loss(targets, density, colour)
    return {"colour": error, "occupancy": _OCCUPANCY_WEIGHT * entropy}


def _people_of(corpus: Corpus | ImageSet, config: PriorTrainConfig) -> list[list[int]]:
    images: dict[int, list[int]] = {}
    for index, person in enumerate(corpus.person.tolist()):
        images.setdefault(person, []).append(index)
    people = [images[person] for person in sorted(images)]
    kept = people[: max(0, len(people) - config.held_out)]
    if not kept:
        message = (
            f"the corpus has {len(people)} people and {config.held_out} are held out:"
            " nobody is left to train on; render more people"
        )
        raise ValueError(message)
    return kept


def _draw_pairs(
    people: list[list[int]], count: int, *, generator: torch.Generator
) -> list[int]:
    """Draw two pictures each of ``count`` people, or one of twice as many."""
    if all(len(images) == 1 for images in people):
        chosen = torch.randint(len(people), (2 * count,), generator=generator)
        return [people[person][0] for person in chosen.tolist()]
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
