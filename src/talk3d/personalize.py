"""Personalisation: the prior becomes one person's generator (VIVE3D's recipe).

Comes in: a subject and a prior. Goes out: a generator file with the tuned network and
the person's code. ``invert`` finds the person in the prior: one identity code and one
W+ offset shared by spread frames; each frame brings its own expression, gaze and
camera. ``coarse`` and ``tune`` adapt the weights and the planes' detail on all training
frames, first to the small raw picture, then to the final one, while the geometry and
colour of unseen sides are held to what the inverted prior says. The identity's planes
gain most of their sharpness later, while the animator is trained.

Symbols: ``z`` identity code, ``draws`` the normal numbers behind it, ``offset`` W+
offset, ``w`` style vectors, ``planes`` tri-planes.
"""

import copy
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.checkpoint import file_sha256
from talk3d.dataset import Subject
from talk3d.device import CPU
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.generator import Generator, Rendering
from talk3d.eg3d.state import parameter_groups
from talk3d.eg3d.train import LINEAR_RATE
from talk3d.encoder.network import Encoder, knows, load_encoder
from talk3d.frames import FrameBatch, FrameStore
from talk3d.guard import GUARD_POINTS, Guard
from talk3d.interrupted import StateFile, plain
from talk3d.objective import (
    PictureWeights,
    face_depth_error,
    face_distance_error,
    picture_terms,
    raw_error,
)
from talk3d.pace import Pace, paces
from talk3d.person import (
    Drive,
    Person,
    average_person,
    check_prior,
    person_from_state,
    person_state,
)
from talk3d.precision import body_precision, denormals_dropped
from talk3d.sight import colours_in_sight
from talk3d.windows import WINDOW

__all__ = ["PersonalizeConfig", "first_draws", "personalize"]

_LOG = logging.getLogger(__name__)
_STAGES = ("invert", "coarse", "tune")
_GUARD_EVERY = 3
_LOOKS = 8
"""Frames that the encoder looks at."""
_ROUGH = 2
"""Side of the raw picture over that of what is rendered before tuning: these stages
look for shape and broad tones, for which a quarter of the rays will do."""


@dataclass(frozen=True)
class PersonalizeConfig:
    """How a person is fitted."""

    invert_steps: int = 50
    """Steps that find the person's code in the prior."""
    invert_frames: int = 4
    """Frames per inversion step."""
    coarse_steps: int = 150
    """Steps that adapt weights and detail to the raw picture, without upsampling."""
    tune_steps: int = 1600
    """Steps that adapt everything to windows of the final picture."""
    tune_frames: int = 2
    """Frames per tuning step, and of the stage before."""
    code_learning_rate: float = 0.03
    """Adam step size of code and offset."""
    learning_rate: float = 1e-3
    """Adam step size of the weights, falling to a twentieth along a cosine."""
    detail_learning_rate: float = 2e-2
    """Adam step size of the planes' detail."""
    drive_learning_rate: float = 3e-3
    """Adam step size of the map from lips and lids to the generator's conditions."""
    guard: float = 0.5
    """Weight that holds unseen sides to the inverted prior."""
    pictures: PictureWeights = field(
        default_factory=lambda: PictureWeights(texture=0.7)
    )
    """What pictures are judged by in tuning."""
    checkpoint_steps: int = 200
    """Steps between checkpoints."""
    seed: int = 0
    """Source of all chance."""
    half: bool = True
    """Run convolutions in bfloat16 where the device has it in hardware."""
    minutes: float | None = None
    """Time limit; steps are left out where it is too short for all."""


@dataclass
class _Run:
    """All that changes while fitting."""

    person: Person
    anchor: Generator
    optimiser: torch.optim.Adam
    draws: Tensor
    guard: Guard | None = None
    stage: int = 0
    step: int = 0
    part: float = 0.0

    def done(self, pace: list[Pace]) -> bool:
        """Note how far the stage is; tell whether that is its end."""
        self.part = pace[self.stage].part(self.step)
        return self.part >= 1


def personalize(
    subject: Subject,
    prior: Path,
    config: PersonalizeConfig,
    *,
    state: Path,
    encoder: Path | None = None,
    device: torch.device = CPU,
) -> Iterator[tuple[str, int, int, Person]]:
    """Fit the prior to a person.

    Yields after every step the stage (``invert``, ``coarse`` or ``tune``), the step,
    how many the stage will have at this pace and the person so far.

    Args:
        subject: the recording.
        prior: file of the prior.
        config: how to fit.
        state: file of the state; when it exists, fitting goes on from it.
        encoder: tells the prior's code to begin with; none: the average person's.
        device: where to fit; what going on there means, see ``talk3d.interrupted``.

    Raises:
        FloatingPointError: if a loss is not finite.
        ValueError: if the encoder tells another prior's codes, or the state is of
            another person, prior, encoder or configuration.
    """
    if encoder is not None and not knows(encoder, prior):
        message = (
            f"the encoder {encoder} tells the codes of another prior than {prior}:"
            " train one for it with talk3d prior encoder, or give none"
        )
        raise ValueError(message)
    anchor = load_generator(prior).to(device)
    check_prior(anchor.config, prior, subject)
    store = FrameStore(subject, subject.train)
    run = _start(anchor, config, store)
    if encoder is not None:
        run.draws = first_draws(run.anchor, load_encoder(encoder), store)
        _enter(run, 0, config)
    lengths = (config.invert_steps, config.coarse_steps, config.tune_steps)
    pace = paces(lengths, config.minutes)
    file = StateFile(state)
    about = _about(subject, prior, encoder, config)
    saved = file.read(about)
    if saved is not None:
        _restore(run, saved, config)
        if run.stage < len(pace):
            pace[run.stage].before = saved["seconds"]
    if run.stage > 0:
        run.guard = _guard(run, store, config.seed)
    steps, made = (_invert_step, _coarse_step, _tune_step), lengths[-1]
    while run.stage < len(_STAGES):
        while not run.done(pace):
            _set_rates(run)
            with denormals_dropped():
                steps[run.stage](run, store, config)
            run.step += 1
            if run.step % config.checkpoint_steps == 0:
                file.write(about, _state(run, pace))
            length = pace[run.stage].length(run.step)
            yield _STAGES[run.stage], run.step, length, run.person
        made = run.step
        _enter(run, run.stage + 1, config)
        if run.guard is None:
            run.guard = _guard(run, store, config.seed)
        file.write(about, _state(run, pace))
    yield _STAGES[-1], made, made, run.person


def _start(anchor: Generator, config: PersonalizeConfig, store: FrameStore) -> _Run:
    person = average_person(copy.deepcopy(anchor))
    face, told = (signal.to(person.z) for signal in store.expressions())
    person.drive = Drive.fitted(face, told, anchor.config.w_dim)
    unset = torch.optim.Adam([torch.zeros(1)])
    run = _Run(person, anchor, unset, torch.zeros_like(person.z))
    _enter(run, 0, config)
    return run


@torch.no_grad()
def first_draws(
    prior: Generator, encoder: Encoder, store: FrameStore
) -> Float[Tensor, "1 z"]:
    """Return what an encoder, on the CPU, says of a person: the mean over frames."""
    batch = store.batch(store.spread(_LOOKS))
    code = encoder(batch.premultiplied()).code
    return prior.draws(code.mean(0, keepdim=True).to(prior.z_avg))


def _enter(run: _Run, stage: int, config: PersonalizeConfig) -> None:
    """Begin a stage: what is learned, and its optimiser."""
    run.stage, run.step = stage, 0
    person, inverting = run.person, stage == 0
    person.z = person.generator.codes(run.draws.detach())
    run.draws.requires_grad_(inverting)
    person.offset.requires_grad_(inverting)
    for tensor in (person.detail, person.drive.expression, person.drive.style):
        tensor.requires_grad_(not inverting)
    person.generator.requires_grad_(not inverting)
    if inverting:
        rate = config.code_learning_rate
        groups = [([run.draws], rate), ([person.offset], rate / 10)]
    else:
        others, linear = parameter_groups(person.generator)
        rate = config.learning_rate
        groups = [
            (others, rate),
            (linear, LINEAR_RATE / 3 * rate),
            ([person.detail], config.detail_learning_rate),
            ([person.drive.expression, person.drive.style], config.drive_learning_rate),
        ]
    run.optimiser = torch.optim.Adam(
        [{"params": group, "lr": r, "start": r} for group, r in groups],
        betas=(0.9, 0.99),
        fused=True,
    )


def _set_rates(run: _Run) -> None:
    warm = min(1.0, (run.step + 1) / 20)
    fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * run.part))
    for group in run.optimiser.param_groups:
        group["lr"] = group["start"] * warm * fall


def _invert_step(run: _Run, store: FrameStore, config: PersonalizeConfig) -> None:
    """Move code and offset by Adam on raw pictures."""
    chance = _chance(config, run)
    batch = store.draw(config.invert_frames, generator=chance).to(run.draws.device)
    run.person.z = run.person.generator.codes(run.draws)
    view = _render(run.person, batch, config, chance, times=_ROUGH)
    terms = {
        "raw": raw_error(view.rendering.picture(), batch),
        "depth": face_depth_error(view.rendering.depth, batch),
        "prior": 1e-3 * run.draws.square().mean(),
        "offset": 0.05 * run.person.offset.square().mean(),
    }
    _descend(run, terms)


def _coarse_step(run: _Run, store: FrameStore, config: PersonalizeConfig) -> None:
    """Adapt weights and detail on raw pictures."""
    chance = _chance(config, run)
    batch = store.draw(config.tune_frames, generator=chance).to(run.draws.device)
    view = _render(run.person, batch, config, chance, times=_ROUGH)
    terms = {
        "raw": raw_error(view.rendering.picture(), batch),
        "depth": face_depth_error(view.rendering.depth, batch),
        "guard": _strayed(run, config, chance),
    }
    _descend(run, terms)


def _tune_step(run: _Run, store: FrameStore, config: PersonalizeConfig) -> None:
    """Adapt everything on final pictures."""
    chance, generator = _chance(config, run), run.person.generator
    batch = store.draw(config.tune_frames, generator=chance)
    cells = generator.config.neural_size
    batch = batch.windows(WINDOW, cells, chance=chance).to(run.draws.device)
    view = _render(run.person, batch, config, chance, times=WINDOW)
    size = generator.config.superres.input_size // WINDOW
    with body_precision(run.draws.device, config.half):
        result = generator.upsample(view.rendering, view.w, patch=size)
    terms = picture_terms(result, view.rendering, batch, config.pictures)
    terms["distance"] = face_distance_error(view.rendering.depth, batch)
    terms["guard"] = _strayed(run, config, chance)
    _descend(run, terms)


@dataclass(frozen=True)
class _View:
    """Frames as the person's generator sees them, before upsampling."""

    w: Tensor
    rendering: Rendering


def _render(
    person: Person,
    batch: FrameBatch,
    config: PersonalizeConfig,
    chance: torch.Generator,
    *,
    times: int,
) -> _View:
    """Render frames or windows of them, with so many times fewer rays per side."""
    size = person.generator.config.neural_size // times
    with body_precision(person.z.device, config.half):
        w = person.styles(batch.face, batch.gaze)
        planes = person.planes(w)
    samples = person.generator.sampling(chance)
    given = planes, batch.camera, samples
    rendering = person.generator.render(
        *given, neck=batch.neck, size=size, half=config.half
    )
    return _View(w, rendering)


def _strayed(run: _Run, config: PersonalizeConfig, chance: torch.Generator) -> Tensor:
    """Return how far the unseen sides have left the inverted prior's, on some steps.

    The neutral person is looked at, as by the guard: an expression moves all planes.
    """
    assert run.guard is not None
    if run.step % _GUARD_EVERY:
        return run.draws.new_zeros(())
    with body_precision(run.draws.device, config.half):
        planes = run.person.planes(run.person.neutral())
    strayed = run.guard.loss(run.person.generator, planes, GUARD_POINTS, chance=chance)
    return _GUARD_EVERY * config.guard * strayed


@torch.no_grad()
def _guard(run: _Run, store: FrameStore, seed: int) -> Guard:
    """Return the guard of what no camera of the recording sees."""
    person = run.person
    nothing = torch.zeros_like(person.detail)
    inverted = Person(run.anchor, person.z, person.offset, nothing, person.drive)
    planes = inverted.planes(inverted.neutral())
    chance = torch.Generator().manual_seed(seed)
    views = (view.to(run.draws.device) for view in store.views())
    guard = Guard.of(run.anchor, planes, *views, chance=chance)
    return guard.recoloured(*colours_in_sight(run.anchor, planes, store))


def _descend(run: _Run, terms: dict[str, Tensor]) -> None:
    stage = _STAGES[run.stage]
    for name, value in terms.items():
        if not torch.isfinite(value):
            message = f"{stage}: the loss {name} is {value.item()} at step {run.step}"
            raise FloatingPointError(message)
    run.optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    run.optimiser.step()
    if run.step % 50 == 0:
        values = " ".join(f"{k} {v.item():.4f}" for k, v in terms.items())
        _LOG.info("%s %d: %s", stage, run.step, values)


def _chance(config: PersonalizeConfig, run: _Run) -> torch.Generator:
    seed = (config.seed * 10 + run.stage) * 1_000_003 + run.step
    return torch.Generator().manual_seed(seed)


def _about(
    subject: Subject, prior: Path, encoder: Path | None, config: PersonalizeConfig
) -> dict[str, Any]:
    """Return what a fit is of; a time limit and checkpoints may change meanwhile."""
    return plain(config, without=("minutes", "checkpoint_steps")) | {
        "subject": subject.fingerprint(),
        "prior": file_sha256(prior),
        "encoder": None if encoder is None else file_sha256(encoder),
    }


def _state(run: _Run, pace: list[Pace]) -> dict[str, Any]:
    return {
        "stage": run.stage,
        "step": run.step,
        "seconds": pace[run.stage].spent() if run.stage < len(pace) else 0.0,
        "person": person_state(run.person),
        "draws": run.draws.detach(),
        "optimiser": run.optimiser.state_dict(),
    }


def _restore(run: _Run, saved: dict[str, Any], config: PersonalizeConfig) -> None:
    person = person_from_state(asdict(run.anchor.config), saved["person"])
    device = run.draws.device
    run.person, run.draws = person.to(device), saved["draws"].to(device)
    _enter(run, saved["stage"], config)
    run.step = saved["step"]
    run.optimiser.load_state_dict(saved["optimiser"])
