"""A personalised generator: the tuned network and the person's code.

Comes in and goes out: a generator file (kind ``generator``), or the part of an avatar
file that holds it.
"""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from talk3d.checkpoint import file_sha256, half_precision, load_model, save_model
from talk3d.dataset import Subject
from talk3d.device import CPU
from talk3d.eg3d.condition import CONDITION_DIMS
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.stylegan2 import channels_last
from talk3d.lips import FACE_NUMBERS

__all__ = [
    "DETAIL",
    "PERSONAL",
    "Drive",
    "Person",
    "average_person",
    "check_prior",
    "load_person",
    "person_from_state",
    "person_state",
    "save_person",
]

DETAIL = 2
"""Resolution of a person's detail over that of the network's planes."""
PERSONAL = "personal: belongs to the person shown"
"""Licence of files that show a person."""
_PREFIX = "generator."
_DRIVE = "drive."
_RIDGE = 0.01


@dataclass
class Drive:
    """How lips, lids and brows become conditions of the generator, linearly."""

    expression: Float[Tensor, "14 53"]
    """Face signals, and 1, to expression weights."""
    style: Float[Tensor, "13 w"]
    """Face signals to what expressions cannot say, added to all style vectors."""

    @classmethod
    def fitted(
        cls,
        face: Float[Tensor, "frames 13"],
        expression: Float[Tensor, "frames 53"],
        w_dim: int,
    ) -> "Drive":
        """Return the drive that tells the tracked expressions best, by a ridge."""
        rows = _with_one(face)
        gram = rows.T @ rows + _RIDGE * len(rows) * torch.eye(rows.shape[1]).to(rows)
        weights = torch.linalg.solve(gram, rows.T @ expression)
        return cls(weights, face.new_zeros(face.shape[1], w_dim))

    def weights(self, face: Float[Tensor, "batch 13"]) -> Float[Tensor, "batch 53"]:
        """Return the expression weights of face signals."""
        return _with_one(face) @ self.expression


def _with_one(face: Tensor) -> Tensor:
    return torch.cat([face, face.new_ones(len(face), 1)], dim=1)


@dataclass
class Person:
    """A personalised generator."""

    generator: Generator
    """The tuned network."""
    z: Float[Tensor, "1 z"]
    """Identity code."""
    offset: Float[Tensor, "1 layers w"]
    """W+ offset, shared by all frames."""
    detail: Float[Tensor, "3 channels fine fine"]
    """Added to all planes, at ``DETAIL`` times their resolution: what the network is
    too coarse to say of the person."""
    drive: Drive
    """Lips, lids and brows to the generator's conditions."""

    def styles(
        self, face: Float[Tensor, "batch 13"], gaze: Float[Tensor, "batch 4"]
    ) -> Float[Tensor, "batch layers w"]:
        """Return the style vectors of the person with given lips, lids, brows and gaze.

        Args:
            face: see ``talk3d.lips.face_signals``.
            gaze: radians.
        """
        with torch.autocast(face.device.type, enabled=False):
            condition = self.generator.condition(self.drive.weights(face), gaze)
            w = self.generator.map(self.z.expand(len(face), -1), condition)
            return w + self.offset + (face @ self.drive.style)[:, None]

    def planes(
        self, w: Float[Tensor, "batch layers w"]
    ) -> Float[Tensor, "batch 3 channels fine fine"]:
        """Return the person's tri-planes for style vectors, as fine as the detail."""
        return self.refined(self.generator.planes(w))

    def refined(
        self, planes: Float[Tensor, "batch 3 channels height width"]
    ) -> Float[Tensor, "batch 3 channels fine fine"]:
        """Return planes of the generator enlarged (bilinear), the detail added."""
        flat = channels_last(planes.flatten(1, 2))
        size = self.detail.shape[-2:]
        flat = functional.interpolate(flat, size=size, mode="bilinear")
        return _DetailAdded.apply(flat, self.detail.flatten(0, 1)).unflatten(1, (3, -1))

    def neutral(self) -> Float[Tensor, "1 layers w"]:
        """Return the style vectors with sealed lips and straight gaze."""
        rest = self.z.new_zeros(1, 53), self.z.new_zeros(1, 4)
        nothing = self.generator.condition(*rest)
        return self.generator.map(self.z, nothing) + self.offset

    def to(self, device: torch.device) -> "Person":
        """Return the person on a device; the network itself is moved there."""
        drive = Drive(*(x.to(device) for x in vars(self.drive).values()))
        return Person(
            self.generator.to(device),
            self.z.to(device),
            self.offset.to(device),
            self.detail.to(device),
            drive,
        )


def average_person(generator: Generator) -> Person:
    """Return the prior's average person, from which inversion starts."""
    z = generator.z_avg.clone()[None]
    layers, width = generator.num_layers, generator.config.w_dim
    rules = generator.config
    size = DETAIL * rules.plane_size
    detail = _fast(z.new_zeros(1, 3, rules.plane_channels, size, size))[0]
    drive = Drive(z.new_zeros(FACE_NUMBERS + 1, 53), z.new_zeros(FACE_NUMBERS, width))
    return Person(generator, z, z.new_zeros(1, layers, width), detail, drive)


class _DetailAdded(torch.autograd.Function):
    """``planes.add_(detail)`` with one detail for all items.

    Its gradient is added up item by item: PyTorch's sum over the first dimension takes
    twenty times as long where the others are permuted.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        planes: Float[Tensor, "batch features fine fine"],
        detail: Float[Tensor, "features fine fine"],
    ) -> Float[Tensor, "batch features fine fine"]:
        ctx.mark_dirty(planes)
        return planes.add_(detail)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "batch features fine fine"],
    ) -> tuple[
        Float[Tensor, "batch features fine fine"], Float[Tensor, "features fine fine"]
    ]:
        del ctx
        return gradient, functools.reduce(torch.add, gradient.unbind())


def _fast(planes: Tensor) -> Tensor:
    """Return planes with a pixel's features side by side in memory."""
    flat = planes.flatten(1, 2).contiguous(memory_format=torch.channels_last)
    return flat.unflatten(1, (3, -1))


def check_prior(rules: GeneratorConfig, prior: Path, subject: Subject) -> None:
    """Refuse priors that know no expressions or mattes, and crops of another size.

    Raises:
        ValueError: if the prior cannot be fitted to the subject.
    """
    if rules.condition_dims != CONDITION_DIMS or not rules.superres.alpha:
        message = (
            f"the prior {prior} is told no expression and gaze or shows no matte, as"
            " published EG3D networks: give one that talk3d prior train has made"
        )
        raise ValueError(message)
    if subject.size != rules.superres.image_size:
        message = (
            f"the subject {subject.path} has {subject.size} pixels per side and the"
            f" prior {prior} {rules.superres.image_size}: preprocess it with that size"
        )
        raise ValueError(message)


def save_person(path: Path, person: Person, *, subject: Path, prior: Path) -> None:
    """Write a generator file."""
    save_model(
        path,
        half_precision(person_state(person)),
        kind="generator",
        config=asdict(person.generator.config),
        parents={
            "prior": file_sha256(prior),
            "subject": Subject.open(subject).fingerprint(),
        },
        licence=PERSONAL,
    )


def person_state(person: Person) -> dict[str, Tensor]:
    """Return all weights of a person by name."""
    network = person.generator.state_dict()
    state = {f"{_PREFIX}{name}": value for name, value in network.items()}
    codes = {"z": person.z, "offset": person.offset, "detail": person.detail}
    codes |= {f"{_DRIVE}{k}": v for k, v in vars(person.drive).items()}
    return state | {name: value.detach() for name, value in codes.items()}


def load_person(path: Path, device: torch.device = CPU) -> Person:
    """Read a generator file onto a device.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds something else.
    """
    saved = load_model(path, kind="generator")
    return person_from_state(saved.config, saved.state).to(device)


def person_from_state(config: dict[str, Any], state: dict[str, Tensor]) -> Person:
    """Build a person from a generator's configuration and weights.

    Raises:
        ValueError: if they do not fit.
    """
    try:
        return _built(config, state)
    except (KeyError, RuntimeError) as error:
        message = (
            f"the person's weights do not fit their configuration ({error}): make the"
            " file again"
        )
        raise ValueError(message) from error


def _built(config: dict[str, Any], state: dict[str, Tensor]) -> Person:
    with torch.random.fork_rng():
        generator = Generator(GeneratorConfig.from_json(config))
    weights = {
        name.removeprefix(_PREFIX): value.float()
        for name, value in state.items()
        if name.startswith(_PREFIX)
    }
    generator.load_state_dict(weights)
    generator.requires_grad_(False)
    z, offset, detail = (state[name].float() for name in ("z", "offset", "detail"))
    drive = Drive(*(state[f"{_DRIVE}{k}"].float() for k in ("expression", "style")))
    return Person(generator, z, offset, _fast(detail[None])[0], drive)
