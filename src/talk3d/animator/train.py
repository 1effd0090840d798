"""Training of the animator on one person.

Comes in: a subject and its personalised generator. Goes out: an animator whose
offsets make the identity planes speak, the identity planes themselves, sharpened with
it, and the decoder and super-resolution adapted to them.

Sound and pictures are learned apart. What lips go with a sound is a small question
with few data, answered by ``talk3d.voice``; what a face looks like with given lips is
a large one with many, answered here from the lips that the video shows. Two stages:
*raw* compares small renderings, without upsampling, with the video and moves the
animator alone; *pictures* compares final pictures and moves everything. Unseen sides
are guarded. Chance is a function of (seed, stage, step).
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.animator.model import Animator, AnimatorConfig, DrivingBatch
from talk3d.animator.tokens import perturb_tokens
from talk3d.animator.unet import UNetConfig
from talk3d.checkpoint import write_atomically
from talk3d.dataset import Subject
from talk3d.eg3d.depths import Sampling
from talk3d.eg3d.generator import Rendering
from talk3d.frames import FrameBatch, FrameStore, driving_signals
from talk3d.guard import GUARD_POINTS, Guard
from talk3d.lips import lip_space, seen_lips
from talk3d.losses import (
    PatchDiscriminator,
    generator_loss,
    laplacian_loss,
    train_critic,
    weighted_l1,
)
from talk3d.pace import Pace, paces
from talk3d.person import Person, enlarged, reduced
from talk3d.precision import body_precision

__all__ = ["AnimatorTrainConfig", "Drivers", "train_animator"]

_LOG = logging.getLogger(__name__)
_STAGES = ("raw", "pictures")
_CRITIC_LEAD = 0.1
"""Part of the stage by which the critic begins to learn before it is heard."""


@dataclass(frozen=True)
class AnimatorTrainConfig:
    """How an animator is trained."""

    raw_steps: int = 400
    """Steps of the first stage."""
    raw_frames: int = 2
    """Frames per step of the first stage."""
    picture_steps: int = 1200
    """Steps of the second stage."""
    picture_frames: int = 2
    """Frames per step of the second stage."""
    learning_rate: float = 2e-3
    """Adam step size of the animator, falling to a twentieth along a cosine."""
    renderer_learning_rate: float = 1e-3
    """Adam step size of decoder and super-resolution in the second stage."""
    identity_learning_rate: float = 1e-2
    """Adam step size of the identity planes in the second stage."""
    mouth_weight: float = 5.0
    """Added to the weight of 1 where the mouth is."""
    eye_weight: float = 5.0
    """Added to the weight of 1 where the eyes are."""
    guard: float = 2.0
    """Weight that holds unseen sides to the personalised generator's."""
    token_noise: float = 0.05
    """Noise on tokens, against learning a short video by heart."""
    adversary: float = 0.01
    """Weight of the patch adversary in the second half; 0 turns it off."""
    samples: tuple[int, int] = (16, 8)
    """Coarse and fine samples of a ray."""
    checkpoint_steps: int = 200
    """Steps between checkpoints."""
    seed: int = 0
    """Source of all chance."""
    half: bool = True
    """Run convolutions in bfloat16 where the CPU has it in hardware."""
    minutes: float | None = None
    """Time limit; steps are left out where it is too short for all."""


@dataclass(frozen=True)
class Drivers:
    """The driving signals of every frame of a recording."""

    lips: Float[Tensor, "frames 8"]
    """The lips that the video shows."""
    eye: Float[Tensor, "frames 6"]
    """Blink and gaze."""
    rotation: Float[Tensor, "frames 3"]
    """Head rotation in radians."""
    landmark: Float[Tensor, "frames 6"]
    """Where the head sits."""

    @classmethod
    def of(cls, subject: Subject) -> "Drivers":
        """Read the drivers of a subject."""
        lips = torch.from_numpy(seen_lips(subject))
        return cls(lip_space(subject).encode(lips), *driving_signals(subject.arrays))

    def batch(self, frames: Tensor) -> DrivingBatch:
        """Return what drives some frames."""
        return DrivingBatch(
            self.lips[frames],
            self.eye[frames],
            self.rotation[frames],
            self.landmark[frames],
        )


@dataclass
class _Run:
    """All that changes while training."""

    person: Person
    animator: Animator
    coarse: Tensor
    guard: Guard
    optimiser: torch.optim.Adam
    critic: PatchDiscriminator
    critic_optimiser: torch.optim.Adam
    stage: int = 0
    step: int = 0
    part: float = 0.0

    def done(self, pace: list[Pace]) -> bool:
        """Note how far the stage is; tell whether that is its end."""
        self.part = pace[self.stage].part(self.step)
        return self.part >= 1

    def identity(self) -> Float[Tensor, "3 c h w"]:
        """Return the planes of the person with sealed lips."""
        return self.coarse + self.person.detail


def train_animator(
    subject: Subject,
    person: Person,
    config: AnimatorTrainConfig,
    *,
    state: Path,
) -> Iterator[tuple[str, int, int, Animator]]:
    """Train, yielding stage name, step, steps of the stage and the animator.

    Args:
        subject: the recording.
        person: the personalised generator; its detail, decoder and super-resolution
            are adapted in place.
        config: how to train.
        state: file of the training state; when it exists, training goes on from it.

    Raises:
        FloatingPointError: if a loss is not finite.
    """
    store = FrameStore(subject, subject.train)
    drivers = Drivers.of(subject)
    run = _start(person, config, store)
    if state.is_file():
        _restore(run, state, config)
    lengths = (config.raw_steps, config.picture_steps)
    pace = paces(lengths, config.minutes)
    steps = (_raw_step, _picture_step)
    while run.stage < len(_STAGES):
        length = lengths[run.stage]
        while not run.done(pace):
            chance = _chance(config, run)
            _set_rates(run)
            terms = steps[run.stage](run, store, drivers, config, chance)
            _report(run, terms)
            run.step += 1
            if run.step % config.checkpoint_steps == 0:
                _save(run, state)
            yield _STAGES[run.stage], run.step, length, run.animator
        _enter(run, run.stage + 1, config)
    _save(run, state)
    yield _STAGES[-1], lengths[-1], lengths[-1], run.animator


def _start(person: Person, config: AnimatorTrainConfig, store: FrameStore) -> _Run:
    rules = person.generator.config
    unet = UNetConfig(
        plane_channels=rules.plane_channels,
        plane_size=rules.plane_size,
        plane_axes=rules.volume.axes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        animator = Animator(AnimatorConfig(unet=unet))
        critic = PatchDiscriminator()
    person.generator.requires_grad_(False)
    with torch.no_grad():
        planes = person.generator.planes(person.neutral())
        coarse = enlarged(planes, person.detail.shape[-1])
        guard = Guard.of(
            person.generator,
            coarse + person.detail,
            store.mean_camera(),
            chance=torch.Generator().manual_seed(config.seed),
        )
    run = _Run(
        person=person,
        animator=animator,
        coarse=coarse[0],
        guard=guard,
        optimiser=torch.optim.Adam([torch.zeros(1)]),
        critic=critic,
        critic_optimiser=torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.0, 0.99)),
    )
    _enter(run, 0, config)
    return run


def _enter(run: _Run, stage: int, config: AnimatorTrainConfig) -> None:
    """Begin a stage: what is learned, and its optimiser."""
    run.stage, run.step = stage, 0
    groups = [(list(run.animator.parameters()), config.learning_rate)]
    if stage > 0:
        generator = run.person.generator
        drawing = [
            *generator.decoder.parameters(),
            *generator.superresolution.parameters(),
        ]
        run.person.detail.requires_grad_()
        for parameter in drawing:
            parameter.requires_grad_()
        groups += [
            (drawing, config.renderer_learning_rate),
            ([run.person.detail], config.identity_learning_rate),
        ]
    run.optimiser = torch.optim.Adam(
        [{"params": group, "lr": rate, "start": rate} for group, rate in groups],
        betas=(0.9, 0.99),
    )


def _raw_step(
    run: _Run,
    store: FrameStore,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Compare raw renderings with the shrunken video."""
    batch = store.draw(config.raw_frames, generator=chance)
    planes = _moved(run, run.identity(), batch, drivers, config, chance)
    rendering = _rendered(run, planes, batch, config, chance)
    terms = {"raw": _raw_error(rendering.picture(), batch, config)}
    _descend(run, terms)
    return terms


def _picture_step(
    run: _Run,
    store: FrameStore,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Compare rendered frames with the video."""
    batch = store.draw(config.picture_frames, generator=chance)
    generator, identity = run.person.generator, run.identity()
    planes = _moved(run, identity, batch, drivers, config, chance)
    rendering = _rendered(run, planes, batch, config, chance)
    w = run.person.neutral().expand(len(planes), -1, -1)
    with body_precision(config.half):
        result = generator.upsample(rendering, w)
    truth, weight = batch.premultiplied(), _weight(batch, config)
    strayed = run.guard.loss(generator, identity[None], GUARD_POINTS, chance=chance)
    terms = {
        "raw": _raw_error(rendering.picture(), batch, config),
        "colour": weighted_l1(result, truth, weight),
        "detail": laplacian_loss(result[:, :3], truth[:, :3], weight),
        "guard": config.guard * strayed,
    }
    if config.adversary > 0 and run.part >= 0.5:
        judged = run.critic(result[:, :3])
        terms["adversary"] = config.adversary * generator_loss(judged)
    _descend(run, terms)
    if config.adversary > 0 and run.part >= 0.5 - _CRITIC_LEAD:
        fake, real = result[:, :3].detach(), truth[:, :3]
        train_critic(run.critic, run.critic_optimiser, fake, real, step=run.step)
    return terms


def _rendered(
    run: _Run,
    planes: Float[Tensor, "batch 3 c h w"],
    batch: FrameBatch,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> Rendering:
    samples = Sampling(*config.samples, generator=chance)
    generator = run.person.generator
    return generator.render(planes, batch.camera, samples, neck=batch.neck)


def _raw_error(
    raw: Float[Tensor, "batch 4 rows columns"],
    batch: FrameBatch,
    config: AnimatorTrainConfig,
) -> Tensor:
    size = (raw.shape[-2], raw.shape[-1])
    truth = functional.interpolate(batch.premultiplied(), size=size, mode="area")
    weight = functional.interpolate(_weight(batch, config), size=size, mode="area")
    return weighted_l1(raw, truth, weight)


def _weight(batch: FrameBatch, config: AnimatorTrainConfig) -> Tensor:
    return 1 + config.mouth_weight * batch.mouth + config.eye_weight * batch.eyes


def _moved(
    run: _Run,
    identity: Float[Tensor, "3 c h w"],
    batch: FrameBatch,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> Float[Tensor, "batch 3 c h w"]:
    """Return the planes of the frames: the identity's, moved by what drives them."""
    size = run.animator.config.unet.plane_size
    with body_precision(config.half):
        tokens = run.animator.tokens(drivers.batch(batch.frame)).float()
        tokens = perturb_tokens(
            tokens, drop=0.0, noise=config.token_noise, generator=chance
        )
        encoded = run.animator.encode(reduced(identity.detach(), size))
        offset = run.animator.decode(encoded, tokens).float()
    return enlarged(offset, identity.shape[-1]) + identity


def _descend(run: _Run, terms: dict[str, Tensor]) -> None:
    for name, value in terms.items():
        if not torch.isfinite(value):
            message = (
                f"{_STAGES[run.stage]}: the loss term {name} is {value.item()} at step"
                f" {run.step}"
            )
            raise FloatingPointError(message)
    run.optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    run.optimiser.step()


def _set_rates(run: _Run) -> None:
    warm = min(1.0, (run.step + 1) / 50)
    fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * run.part))
    for group in run.optimiser.param_groups:
        group["lr"] = group["start"] * warm * fall


def _chance(config: AnimatorTrainConfig, run: _Run) -> torch.Generator:
    seed = (config.seed * 10 + run.stage) * 1_000_003 + run.step
    return torch.Generator().manual_seed(seed)


def _report(run: _Run, terms: dict[str, Tensor]) -> None:
    if run.step % 50 == 0:
        values = {name: round(value.item(), 4) for name, value in terms.items()}
        _LOG.info("%s %d: %s", _STAGES[run.stage], run.step, json.dumps(values))


def _save(run: _Run, path: Path) -> None:
    with write_atomically(path) as temporary:
        torch.save(
            {
                "stage": run.stage,
                "step": run.step,
                "animator": run.animator.state_dict(),
                "detail": run.person.detail.detach(),
                "generator": run.person.generator.state_dict(),
                "optimiser": run.optimiser.state_dict(),
                "critic": run.critic.state_dict(),
                "critic_optimiser": run.critic_optimiser.state_dict(),
            },
            temporary,
        )


def _restore(run: _Run, path: Path, config: AnimatorTrainConfig) -> None:
    saved = torch.load(path, weights_only=True)
    run.animator.load_state_dict(saved["animator"])
    run.person.generator.load_state_dict(saved["generator"])
    with torch.no_grad():
        run.person.detail.copy_(saved["detail"])
    _enter(run, saved["stage"], config)
    run.step = saved["step"]
    run.optimiser.load_state_dict(saved["optimiser"])
    run.critic.load_state_dict(saved["critic"])
    run.critic_optimiser.load_state_dict(saved["critic_optimiser"])
