"""Training of the animator on one person.

Comes in: a subject and its personalised generator. Goes out: an animator whose
offsets make the identity planes speak, and the generator's super-resolution adapted
to them.

Three stages. *Sound*: the audio token is taught to tell the expression of the frame,
which needs no picture. *Raw*: small renderings, without upsampling, are compared with
the video. *Pictures*: final pictures are, and the super-resolution is adapted to the
video. Chance is a function of (seed, stage, step).
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from talk3d.animator.model import Animator, AnimatorConfig, DrivingBatch
from talk3d.animator.tokens import perturb_tokens
from talk3d.animator.unet import UNetConfig
from talk3d.audio import MelConfig, audio_windows, log_mel
from talk3d.checkpoint import write_atomically
from talk3d.dataset import Subject
from talk3d.eg3d.depths import Sampling
from talk3d.frames import FrameBatch, FrameStore, driving_signals
from talk3d.losses import (
    PatchDiscriminator,
    generator_loss,
    laplacian_loss,
    train_critic,
    weighted_l1,
)
from talk3d.person import Person, enlarged, reduced
from talk3d.precision import body_precision

__all__ = ["AnimatorTrainConfig", "Drivers", "train_animator"]

_LOG = logging.getLogger(__name__)
_STAGES = ("sound", "raw", "pictures")
_EXPRESSIONS = 53
_CRITIC_LEAD = 50


@dataclass(frozen=True)
class AnimatorTrainConfig:
    """How an animator is trained."""

    sound_steps: int = 400
    """Steps of the first stage."""
    sound_frames: int = 64
    """Frames per step of the first stage."""
    raw_steps: int = 800
    """Steps of the second stage."""
    raw_frames: int = 4
    """Frames per step of the second stage."""
    picture_steps: int = 400
    """Steps of the third stage."""
    picture_frames: int = 2
    """Frames per step of the third stage."""
    learning_rate: float = 2e-3
    """Adam step size of the animator, falling to a twentieth along a cosine."""
    renderer_learning_rate: float = 3e-4
    """Adam step size of the decoder and the super-resolution in the third stage."""
    mouth_weight: float = 10.0
    """Added to the weight of 1 where the mouth is."""
    eye_weight: float = 6.0
    """Added to the weight of 1 where the eyes are."""
    token_noise: float = 0.05
    """Noise on tokens, against learning a short video by heart; four times as much in
    the first stage."""
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


@dataclass(frozen=True)
class Drivers:
    """The driving signals of every frame of a recording."""

    features: Float[Tensor, "steps mels"]
    """Log-mel features of the sound."""
    eye: Float[Tensor, "frames 6"]
    """Blink and gaze."""
    rotation: Float[Tensor, "frames 3"]
    """Head rotation in radians."""
    landmark: Float[Tensor, "frames 6"]
    """Where the head sits."""
    fps: float
    """Frames per second."""

    @classmethod
    def of(cls, subject: Subject) -> "Drivers":
        """Read the drivers of a subject."""
        eye, rotation, landmark = driving_signals(subject.arrays)
        features = log_mel(torch.from_numpy(subject.audio()), MelConfig())
        return cls(features, eye, rotation, landmark, subject.fps)

    def batch(
        self,
        frames: Tensor,
        animator: Animator,
        *,
        shift: float = 0.0,
    ) -> DrivingBatch:
        """Return what drives some frames, the sound shifted by some seconds."""
        tokens = animator.config.tokens
        middle = (frames.double() + 0.5) / self.fps + shift
        windows = audio_windows(
            self.features,
            middle,
            before=tokens.audio_before,
            after=tokens.audio_after,
        )
        return DrivingBatch(
            windows, self.eye[frames], self.rotation[frames], self.landmark[frames]
        )


@dataclass
class _Run:
    """All that changes while training."""

    person: Person
    animator: Animator
    teller: nn.Linear
    identity: Tensor
    optimiser: torch.optim.Adam
    critic: PatchDiscriminator
    critic_optimiser: torch.optim.Adam
    stage: int = 0
    step: int = 0


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
        person: the personalised generator; its decoder and super-resolution are
            adapted in place.
        config: how to train.
        state: file of the training state; when it exists, training goes on from it.

    Raises:
        FloatingPointError: if a loss is not finite.
    """
    store = FrameStore(subject, subject.train)
    drivers = Drivers.of(subject)
    run = _start(person, config)
    if state.is_file():
        _restore(run, state)
    lengths = (config.sound_steps, config.raw_steps, config.picture_steps)
    steps = (_sound_step, _raw_step, _picture_step)
    while run.stage < len(_STAGES):
        length = lengths[run.stage]
        while run.step < length:
            chance = _chance(config, run)
            _set_rates(run, config, length)
            terms = steps[run.stage](run, store, drivers, config, chance)
            _report(run, terms)
            run.step += 1
            if run.step % config.checkpoint_steps == 0:
                _save(run, state)
            yield _STAGES[run.stage], run.step, length, run.animator
        run.stage, run.step = run.stage + 1, 0
        run.optimiser = _optimiser(run.person, run.animator, run.teller)
    _save(run, state)
    yield _STAGES[-1], lengths[-1], lengths[-1], run.animator


def _start(person: Person, config: AnimatorTrainConfig) -> _Run:
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
        teller = nn.Linear(animator.config.tokens.width, _EXPRESSIONS)
    with torch.no_grad():
        identity = person.planes(person.neutral())[0]
    return _Run(
        person=person,
        animator=animator,
        teller=teller,
        identity=identity,
        optimiser=_optimiser(person, animator, teller),
        critic=critic,
        critic_optimiser=torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.0, 0.99)),
    )


def _optimiser(
    person: Person, animator: Animator, teller: nn.Linear
) -> torch.optim.Adam:
    renderer = [
        *person.generator.decoder.parameters(),
        *person.generator.superresolution.parameters(),
    ]
    for parameter in renderer:
        parameter.requires_grad_()
    learned = [*animator.parameters(), *teller.parameters()]
    groups = [{"params": learned}, {"params": renderer}]
    return torch.optim.Adam(groups, betas=(0.9, 0.99))


def _sound_step(
    run: _Run,
    store: FrameStore,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Teach the audio token to tell the expression, each weight by its deviation."""
    frames, expression = store.draw_expression(config.sound_frames, generator=chance)
    shift = 0.02 * (torch.rand((), generator=chance).item() - 0.5)
    driving = drivers.batch(frames, run.animator, shift=shift)
    tokens = perturb_tokens(
        run.animator.tokens(driving).float(),
        drop=0.0,
        noise=4 * config.token_noise,
        generator=chance,
    )
    told = run.teller(tokens[:, 0])
    terms = {"sound": (told - expression).square().mean()}
    _descend(run, terms)
    return terms


def _raw_step(
    run: _Run,
    store: FrameStore,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Compare raw renderings with the shrunken video."""
    batch = store.draw(config.raw_frames, generator=chance)
    with body_precision(config.half):
        planes = _moved(run, batch, drivers, config, chance)
    samples = Sampling(*config.samples, generator=chance)
    generator = run.person.generator
    rendering = generator.render(planes, batch.camera, samples, neck=batch.neck)
    raw = rendering.picture()
    terms = {"raw": _raw_error(raw, batch, config)}
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
    generator = run.person.generator
    with body_precision(config.half):
        planes = _moved(run, batch, drivers, config, chance)
    samples = Sampling(*config.samples, generator=chance)
    rendering = generator.render(planes, batch.camera, samples, neck=batch.neck)
    w = run.person.neutral().expand(len(planes), -1, -1)
    with body_precision(config.half):
        result = generator.upsample(rendering, w)
    truth, weight = batch.premultiplied(), _weight(batch, config)
    terms = {
        "raw": _raw_error(rendering.picture(), batch, config),
        "colour": weighted_l1(result, truth, weight),
        "detail": laplacian_loss(result[:, :3], truth[:, :3], weight),
    }
    late = run.step >= config.picture_steps // 2
    if config.adversary > 0 and late:
        judged = run.critic(result[:, :3])
        terms["adversary"] = config.adversary * generator_loss(judged)
    _descend(run, terms)
    if config.adversary > 0 and run.step >= config.picture_steps // 2 - _CRITIC_LEAD:
        train_critic(
            run.critic,
            run.critic_optimiser,
            result[:, :3].detach(),
            truth[:, :3],
            step=run.step,
        )
    return terms


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
    batch: FrameBatch,
    drivers: Drivers,
    config: AnimatorTrainConfig,
    chance: torch.Generator,
) -> Float[Tensor, "batch 3 c h w"]:
    """Return the planes of the frames: the identity's, moved by what drives them."""
    shift = 0.02 * (torch.rand((), generator=chance).item() - 0.5)
    driving = drivers.batch(batch.frame, run.animator, shift=shift)
    tokens = run.animator.tokens(driving).float()
    tokens = perturb_tokens(
        tokens, drop=0.0, noise=config.token_noise, generator=chance
    )
    size = run.animator.config.unet.plane_size
    encoded = run.animator.encode(reduced(run.identity, size))
    offset = run.animator.decode(encoded, tokens).float()
    return enlarged(offset, run.identity.shape[-1]) + run.identity


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


def _set_rates(run: _Run, config: AnimatorTrainConfig, steps: int) -> None:
    warm = min(1.0, (run.step + 1) / 50)
    fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * run.step / steps))
    rates = (config.learning_rate, config.renderer_learning_rate)
    for group, rate in zip(run.optimiser.param_groups, rates, strict=True):
        group["lr"] = rate * warm * fall


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
                "teller": run.teller.state_dict(),
                "generator": run.person.generator.state_dict(),
                "optimiser": run.optimiser.state_dict(),
                "critic": run.critic.state_dict(),
                "critic_optimiser": run.critic_optimiser.state_dict(),
            },
            temporary,
        )


def _restore(run: _Run, path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    run.stage, run.step = saved["stage"], saved["step"]
    run.animator.load_state_dict(saved["animator"])
    run.teller.load_state_dict(saved["teller"])
    run.person.generator.load_state_dict(saved["generator"])
    run.optimiser.load_state_dict(saved["optimiser"])
    run.critic.load_state_dict(saved["critic"])
    run.critic_optimiser.load_state_dict(saved["critic_optimiser"])
