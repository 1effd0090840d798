"""Edits: a person smiling, older, younger, or moving the lips more or less.

A personalised generator keeps the prior's code and conditions. A smile is an expression
that is added to that of every frame. Age is a direction of the codes: the prior's
people have codes that begin with what the renderer knows of them (``talk3d.synthetic.
traits``), so the mean change of a code with a person's years is known from the spread
of the codes. What the planes' detail shows stays as it was recorded.
"""

from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from talk3d.face import load_face_shape
from talk3d.person import Drive, Person

__all__ = ["AGE", "NOTHING_EDITED", "Edit", "edited"]

AGE = 103
"""Which number of a code is the age: before it stand 34 landmarks, and the sex."""
_YEARS = 17.9
"""Deviation of the age of the people whom priors learn from, years."""
_SMILE = {"mouthSmile_L": 1.0, "mouthSmile_R": 1.0, "cheekSquint_L": 0.5}
_SMILE |= {"cheekSquint_R": 0.5}
_RANGES = {"smile": (-1.0, 1.0), "years": (-40.0, 40.0), "articulation": (0.0, 2.0)}


@dataclass(frozen=True)
class Edit:
    """What is changed of a person."""

    smile: float = 0.0
    """-1 (corners of the mouth down) to 1 (a broad smile), added to every frame."""
    years: float = 0.0
    """-40 to 40: older, or younger."""
    articulation: float = 1.0
    """0 to 2: how far the lips move from where they rest, times what is told."""

    def __post_init__(self) -> None:
        """Refuse what no face does.

        Raises:
            ValueError: if a number is out of range.
        """
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                message = (
                    f"{name} is {value:g}: give a number from {least:g} to {most:g}"
                )
                raise ValueError(message)

    def told(self) -> dict[str, str]:
        """Return what a statement says of the edit: nothing where there is none."""
        forms = {"smile": "+g", "years": "+g", "articulation": "g"}
        changed = {k: v for k, v in asdict(self).items() if v != _UNCHANGED[k]}
        known = [f"{name} {value:{forms[name]}}" for name, value in changed.items()]
        return {"edit": ", ".join(known)} if known else {}


NOTHING_EDITED = Edit()
_UNCHANGED = asdict(NOTHING_EDITED)


@torch.no_grad()
def edited(person: Person, edit: Edit) -> Person:
    """Return a person changed, in code and expression; the weights are shared.

    Raises:
        ValueError: if years are asked for and the codes are too short to tell the age.
    """
    expression = person.drive.expression.clone()
    expression[-1] += edit.smile * _smile().to(expression)
    drive = Drive(expression, person.drive.style)
    if not edit.years:
        return replace(person, drive=drive)
    return replace(person, drive=drive, z=person.z + edit.years * _year(person))


def _smile() -> Float[Tensor, "53"]:
    names = load_face_shape().expression_names
    return torch.tensor([_SMILE.get(name, 0.0) for name in names])


def _year(person: Person) -> Float[Tensor, " z"]:
    """Return the regression of codes on a year of age."""
    spread = person.generator.z_spread
    if len(spread) <= AGE:
        message = (
            f"the prior of this avatar has codes of {len(spread)} numbers, which do not"
            " tell the age: leave out the years"
        )
        raise ValueError(message)
    spread = spread @ spread[AGE]
    return spread / spread[AGE].clamp(min=1e-6) / _YEARS
