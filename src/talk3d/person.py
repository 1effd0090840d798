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

from talk3d.checkpoint import file_sha256, half_precision, load_model, save_model
from talk3d.eg3d.condition import condition_vector
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator

__all__ = [
    "PERSONAL",
    "Person",
    "average_person",
    "load_person",
    "person_from_state",
    "person_state",
    "save_person",
]

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
    detail: Float[Tensor, "3 channels height width"]
    """Added to all planes: what the network's weights are slow to say of the person."""

    def styles(
        self, expression: Float[Tensor, "batch 53"], gaze: Float[Tensor, "batch 4"]
    ) -> Float[Tensor, "batch layers w"]:
        """Return the style vectors of the person with an expression and a gaze."""
        condition = condition_vector(expression, gaze)
        w = self.generator.map(self.z.expand(len(expression), -1), condition)
        return w + self.offset

    def planes(
        self, w: Float[Tensor, "batch layers w"]
    ) -> Float[Tensor, "batch 3 channels height width"]:
        """Return the person's tri-planes for style vectors."""
        return self.generator.planes(w) + self.detail

    def neutral(self) -> Float[Tensor, "1 layers w"]:
        """Return the style vectors with sealed lips and straight gaze."""
        return self.styles(torch.zeros(1, 53), torch.zeros(1, 4))


def average_person(generator: Generator) -> Person:
    """Return the prior's average person, from which inversion starts."""
    z = generator.z_avg.clone()[None]
    layers, width = generator.num_layers, generator.config.w_dim
    rules = generator.config
    size = rules.plane_size
    detail = torch.zeros(3, rules.plane_channels, size, size)
    return Person(generator, z, torch.zeros(1, layers, width), detail)


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
    codes = (state[name].float() for name in ("z", "offset", "detail"))
    return Person(generator, *codes)
