"""A personalised generator: the tuned network and the person's code.

Comes in and goes out: a generator file (kind ``generator``), or the part of an avatar
file that holds it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from talk3d.checkpoint import file_sha256, half_precision, load_model, save_model
from talk3d.eg3d.condition import condition_vector
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator

__all__ = [
    "DETAIL",
    "PERSONAL",
    "Person",
    "average_person",
    "enlarged",
    "load_person",
    "person_from_state",
    "person_state",
    "reduced",
    "save_person",
]

DETAIL = 2
"""Resolution of a person's detail over that of the network's planes."""
PERSONAL = "personal: belongs to the person shown"
"""Licence of files that show a person."""
_PREFIX = "generator."


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

    def styles(
        self, expression: Float[Tensor, "batch 53"], gaze: Float[Tensor, "batch 4"]
    ) -> Float[Tensor, "batch layers w"]:
        """Return the style vectors of the person with an expression and a gaze."""
        condition = condition_vector(expression, gaze)
        w = self.generator.map(self.z.expand(len(expression), -1), condition)
        return w + self.offset

    def planes(
        self, w: Float[Tensor, "batch layers w"]
    ) -> Float[Tensor, "batch 3 channels fine fine"]:
        """Return the person's tri-planes for style vectors, as fine as the detail."""
        return enlarged(self.generator.planes(w), self.detail.shape[-1]) + self.detail

    def neutral(self) -> Float[Tensor, "1 layers w"]:
        """Return the style vectors with sealed lips and straight gaze."""
        return self.styles(torch.zeros(1, 53), torch.zeros(1, 4))


def average_person(generator: Generator) -> Person:
    """Return the prior's average person, from which inversion starts."""
    z = generator.z_avg.clone()[None]
    layers, width = generator.num_layers, generator.config.w_dim
    rules = generator.config
    size = DETAIL * rules.plane_size
    detail = _fast(torch.zeros(1, 3, rules.plane_channels, size, size))[0]
    return Person(generator, z, torch.zeros(1, layers, width), detail)


def enlarged(
    planes: Float[Tensor, "batch 3 channels height width"], size: int
) -> Float[Tensor, "batch 3 channels size size"]:
    """Return planes at another resolution, bilinear."""
    flat = functional.interpolate(
        planes.flatten(1, 2), size=(size, size), mode="bilinear"
    )
    return flat.unflatten(1, (3, -1))


def reduced(
    planes: Float[Tensor, "3 channels fine fine"], size: int
) -> Float[Tensor, "3 channels size size"]:
    """Return planes at a lower resolution, each pixel the mean of those it covers."""
    return functional.interpolate(planes, size=(size, size), mode="area")


def _fast(planes: Tensor) -> Tensor:
    """Return planes with a pixel's features side by side in memory."""
    flat = planes.flatten(1, 2).contiguous(memory_format=torch.channels_last)
    return flat.unflatten(1, (3, -1))


def save_person(path: Path, person: Person, *, subject: Path, prior: Path) -> None:
    """Write a generator file."""
    save_model(
        path,
        half_precision(person_state(person)),
        kind="generator",
        config=asdict(person.generator.config),
        parents={
            "prior": file_sha256(prior),
            "subject": file_sha256(subject / "subject.json"),
        },
        licence=PERSONAL,
    )


def person_state(person: Person) -> dict[str, Tensor]:
    """Return all weights of a person by name."""
    network = person.generator.state_dict()
    state = {f"{_PREFIX}{name}": value for name, value in network.items()}
    codes = {"z": person.z, "offset": person.offset, "detail": person.detail}
    return state | {name: value.detach() for name, value in codes.items()}


def load_person(path: Path) -> Person:
    """Read a generator file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds something else.
    """
    saved = load_model(path, kind="generator")
    return person_from_state(saved.config, saved.state)


def person_from_state(config: dict[str, Any], state: dict[str, Tensor]) -> Person:
    """Build a person from a generator's configuration and weights."""
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
    return Person(generator, z, offset, _fast(detail[None])[0])
