"""Training of the animator on one person.

Comes in: a subject and its personalised generator. Goes out: an animator whose
offsets add to the generator's own motion what this person does besides, and the
person's detail, decoder and super-resolution, sharpened with it.

Sound and pictures are learned apart. What lips go with a sound is a small question
with few data, answered by ``talk3d.voice``; what a face looks like with given lips is
a large one with many, answered from the lips that the video shows. Unseen sides are
guarded. Chance is a function of (seed, step).
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.animator.extras import Drawing, Extras, ExtraWeights
from talk3d.animator.model import Animator, AnimatorConfig, DrivingBatch
from talk3d.animator.moving import Moving
from talk3d.animator.tokens import perturb_tokens
from talk3d.animator.unet import UNetConfig
from talk3d.checkpoint import tensors_sha256
from talk3d.dataset import Subject
from talk3d.frames import FrameStore, driving_signals
from talk3d.guard import GUARD_POINTS, Guard
from talk3d.interrupted import StateFile, plain
from talk3d.lips import lip_space, seen_lips
from talk3d.objective import PictureWeights, picture_terms
from talk3d.pace import Pace, paces
from talk3d.person import Person, person_state
from talk3d.precision import body_precision, denormals_dropped
from talk3d.windows import WINDOW

__all__ = ["AnimatorTrainConfig", "Drivers", "fresh_animator", "train_animator"]

_LOG = logging.getLogger(__name__)
_STAGE = "pictures"


@dataclass(frozen=True)
class AnimatorTrainConfig:
    """How an animator is trained."""

    steps: int = 500
    """Steps."""
    frames: int = 2
    """Frames per step."""
    learning_rate: float = 2e-3
    """Adam step size of the animator, falling to a twentieth along a cosine."""
    renderer_learning_rate: float = 5e-4
    """Adam step size of decoder and super-resolution."""
    detail_learning_rate: float = 5e-3
    """Adam step size of the person's detail."""
    pictures: PictureWeights = field(
        default_factory=lambda: PictureWeights(texture=1.4, thickness=20.0)
    )
    """What pictures are judged by."""
    extras: ExtraWeights = field(default_factory=ExtraWeights)
    """Losses beyond the comparison with frames."""
    guard: float = 0.5
    """Weight that holds unseen sides to the personalised generator's."""
    token_noise: float = 0.05
    """Noise on tokens, against learning a short video by heart."""
    checkpoint_steps: int = 200
    """Steps between checkpoints."""
    register_every: int = 1
    """Poses of every so many frames are registered before and after; those between
    follow."""
    seed: int = 0
    """Source of all chance."""
    half: bool = True
    """Run convolutions in bfloat16 where the device has it in hardware."""
    minutes: float | None = None
    """Time limit; steps are left out where it is too short for all."""


@dataclass(frozen=True)
class Drivers:
    """The driving signals of every frame of a recording."""

    lips: Float[Tensor, "frames 8"]
    """The lips that the video shows."""
    eye: Float[Tensor, "frames 9"]
    """Blinks, brows and gaze."""
    rotation: Float[Tensor, "frames 3"]
    """Head rotation in radians."""
    landmark: Float[Tensor, "frames 6"]
    """Where the head sits."""

    @classmethod
    def of(cls, subject: Subject) -> "Drivers":
        """Read the drivers of a subject."""
        lips = torch.from_numpy(seen_lips(subject))
        return cls(lip_space(subject).encode(lips), *driving_signals(subject.arrays))

    def to(self, device: torch.device) -> "Drivers":
        """Return the drivers on a device."""
        return Drivers(**{k: v.to(device) for k, v in vars(self).items()})

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
    """All that changes while training, and what stays."""

    person: Person
    animator: Animator
    neutral: Float[Tensor, "3 c h w"]
    guard: Guard
    optimiser: torch.optim.Adam
    extras: Extras
    step: int = 0

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.person.z.device

    def identity(self) -> Float[Tensor, "1 3 c fine fine"]:
        """Return the planes of the person with sealed lips."""
        return self.person.refined(self.neutral[None])

    def moving(self, config: AnimatorTrainConfig) -> Moving:
        """Return person and animator, ready to move."""
        with body_precision(self.device, config.half):
            encoded = self.animator.encode(self.neutral)
        return Moving(self.person, self.animator, encoded, half=config.half)


def train_animator(
    subject: Subject,
    person: Person,
    config: AnimatorTrainConfig,
    *,
    state: Path,
    animator: Animator | None = None,
) -> Iterator[tuple[str, int, int, Animator]]:
    """Train, yielding the stage, step, number of steps at this pace and the animator.

    Args:
        subject: the recording.
        person: the personalised generator; its detail, decoder and super-resolution
            are adapted in place. Training runs on its device.
        config: how to train.
        state: file of the training state; when it exists, training goes on from it.
        animator: what to begin with, moved to the device and adapted in place; none:
            a fresh one.

    Raises:
        FloatingPointError: if a loss is not finite.
        ValueError: if the state is of another person, beginning or configuration.
    """
    store = FrameStore(subject, subject.train)
    drivers = Drivers.of(subject).to(person.z.device)
    file = StateFile(state)
    about = plain(config, without=("minutes", "checkpoint_steps")) | {
        "subject": subject.fingerprint(),
        "person": tensors_sha256(person_state(person)),
    }
    if animator is not None:
        about["animator"] = tensors_sha256(animator.state_dict())
    run = _start(person, animator or fresh_animator(person, config), config, store)
    (pace,) = paces((config.steps,), config.minutes)
    saved = file.read(about)
    if saved is not None:
        _restore(run, saved)
        pace.before = saved["seconds"]
    while (part := pace.part(run.step)) < 1:
        _set_rates(run, part)
        with denormals_dropped():
            terms = _step(run, store, drivers, config)
        _report(run, terms)
        run.step += 1
        if run.step % config.checkpoint_steps == 0:
            file.write(about, _state(run, pace))
        yield _STAGE, run.step, pace.length(run.step), run.animator
    file.write(about, _state(run, pace))
    yield _STAGE, config.steps, config.steps, run.animator


def fresh_animator(person: Person, config: AnimatorTrainConfig) -> Animator:
    """Return an animator for a person's planes that has learned nothing."""
    rules = person.generator.config
    unet = UNetConfig(
        plane_channels=rules.plane_channels,
        plane_size=rules.plane_size,
        plane_axes=rules.volume.axes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return Animator(AnimatorConfig(unet=unet))


def _start(
    person: Person,
    animator: Animator,
    config: AnimatorTrainConfig,
    store: FrameStore,
) -> _Run:
    generator = person.generator.requires_grad_(False)
    device = person.z.device
    animator = animator.to(device)
    with torch.no_grad():
        neutral = generator.planes(person.neutral())[0]
        identity = person.planes(person.neutral())
    guard = Guard.of(
        generator,
        identity,
        *(view.to(device) for view in store.views()),
        chance=torch.Generator().manual_seed(config.seed),
    )
    drawing = [*generator.decoder.parameters()]
    drawing += generator.superresolution.parameters()
    for parameter in (*drawing, person.detail):
        parameter.requires_grad_()
    groups = [
        (list(animator.parameters()), config.learning_rate),
        (drawing, config.renderer_learning_rate),
        ([person.detail], config.detail_learning_rate),
    ]
    optimiser = torch.optim.Adam(
        [{"params": group, "lr": rate, "start": rate} for group, rate in groups],
        betas=(0.9, 0.99),
        fused=True,
    )
    extras = Extras(config.extras, seed=config.seed, device=device)
    return _Run(person, animator, neutral, guard, optimiser, extras)


def _step(
    run: _Run, store: FrameStore, drivers: Drivers, config: AnimatorTrainConfig
) -> dict[str, Tensor]:
    """Compare rendered frames with the video."""
    chance = torch.Generator().manual_seed(config.seed * 1_000_003 + run.step)
    generator = run.person.generator
    cells = generator.config.neural_size
    batch = store.draw(config.frames, generator=chance)
    batch = batch.windows(WINDOW, cells, chance=chance).to(run.device)
    driving = drivers.batch(batch.frame)
    with body_precision(run.device, config.half):
        tokens = run.animator.tokens(driving).float()
    tokens = perturb_tokens(tokens, noise=config.token_noise, generator=chance)
    w, planes = run.moving(config).planes(driving, tokens)
    rendering = generator.render(
        planes,
        batch.camera,
        generator.sampling(chance),
        neck=batch.neck,
        size=cells // WINDOW,
        half=config.half,
    )
    size = generator.config.superres.input_size // WINDOW
    with body_precision(run.device, config.half):
        result = generator.upsample(rendering, w, patch=size)
    terms = picture_terms(result, rendering, batch, config.pictures)
    strayed = run.guard.loss(generator, run.identity(), GUARD_POINTS, chance=chance)
    terms["guard"] = config.guard * strayed
    drawing = Drawing(batch, w, planes, rendering, result.float())
    terms |= _extra_terms(run, drawing, drivers, config, chance)
    _descend(run, terms)
    return terms


def _extra_terms(
    run: _Run,
    drawing: Drawing,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Return the terms of the extra losses that have a weight."""
    weights, generator, terms = config.extras, run.person.generator, {}
    if weights.beside(run.step):
        size = generator.config.superres.input_size // WINDOW
        samples = generator.sampling(chance)
        beside = drawing.beside(
            generator, samples, patch=size, half=config.half, chance=chance
        )
        terms |= run.extras.pictures(drawing, beside, run.step)
    if weights.temporal:
        frames, last = drawing.batch.frame, len(drivers.lips) - 1
        encoded, tokens, offsets = run.moving(config).encoded, [], []
        for index in (frames, (frames + 1).clamp(max=last)):
            with body_precision(run.device, config.half):
                tokens.append(run.animator.tokens(drivers.batch(index)).float())
                offsets.append(run.animator.decode(encoded, tokens[-1]).float())
        terms["temporal"] = run.extras.temporal(
            (offsets[0], offsets[1]), (tokens[0], tokens[1]), encoded.limit
        )
    return terms


def _descend(run: _Run, terms: dict[str, Tensor]) -> None:
    for name, value in terms.items():
        if not torch.isfinite(value):
            message = f"the loss term {name} is {value.item()} at step {run.step}"
            raise FloatingPointError(message)
    run.optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    run.optimiser.step()


def _set_rates(run: _Run, part: float) -> None:
    warm = min(1.0, (run.step + 1) / 50)
    fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * part))
    for group in run.optimiser.param_groups:
        group["lr"] = group["start"] * warm * fall


def _report(run: _Run, terms: dict[str, Tensor]) -> None:
    if run.step % 50 == 0:
        values = {name: round(value.item(), 4) for name, value in terms.items()}
        _LOG.info("%s %d: %s", _STAGE, run.step, json.dumps(values))


def _state(run: _Run, pace: Pace) -> dict[str, Any]:
    return {
        "step": run.step,
        "seconds": pace.spent(),
        "animator": run.animator.state_dict(),
        "generator": run.person.generator.state_dict(),
        "detail": run.person.detail.detach(),
        "optimiser": run.optimiser.state_dict(),
        "extras": run.extras.state(),
    }


def _restore(run: _Run, saved: dict[str, Any]) -> None:
    run.step = saved["step"]
    run.animator.load_state_dict(saved["animator"])
    run.person.generator.load_state_dict(saved["generator"])
    with torch.no_grad():
        run.person.detail.copy_(saved["detail"])
    run.optimiser.load_state_dict(saved["optimiser"])
    run.extras.restore(saved["extras"])
