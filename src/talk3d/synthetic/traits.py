"""What is known of a synthetic person, as numbers.

A prior that is trained on renders may be told who is who by what the renderer knows:
where the face's points lie, and the colours, styles and strengths of the looks.
Similar people get similar numbers.
"""

from dataclasses import fields, is_dataclass

import numpy as np
from jaxtyping import Float

from talk3d.synthetic.head import HeadModel
from talk3d.synthetic.looks import BEARDS, HAIR_STYLES
from talk3d.synthetic.people import Person

__all__ = ["person_traits"]

_EVERY = 2
_DARKEST = 1e-3
_CHOICES: dict[str, tuple[object, ...]] = {
    "style": tuple(HAIR_STYLES),
    "beard": tuple(BEARDS),
    "pattern": (0, 1, 2),
    "glasses": (0, 1, 2, 3),
}
_SKIPPED = ("colour_name", "offset")


def person_traits(head: HeadModel, person: Person) -> Float[np.ndarray, " numbers"]:
    """Return the traits of a person; their number depends on the head model only.

    Args:
        head: the head model the person was made on.
        person: the person.

    Returns:
        Offsets of every second landmark from the mean head (cm), then the looks:
        strengths as they are, colours as logarithms, choices as ones among zeros.
    """
    points = head.landmarks[::_EVERY]
    offsets = (person.shape[points] - head.neutral[points]).ravel()
    return np.concatenate([offsets, _numbers(person.looks)]).astype(np.float32)


def _numbers(part: object) -> list[float]:
    if not is_dataclass(part):
        message = f"cannot put {part!r} into numbers"
        raise TypeError(message)
    numbers: list[float] = []
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name in _SKIPPED:
            continue
        if field.name in _CHOICES:
            numbers += [float(value == choice) for choice in _CHOICES[field.name]]
        elif is_dataclass(value):
            numbers += _numbers(value)
        elif np.ndim(value) == 1:
            numbers += np.log(np.maximum(value, _DARKEST)).tolist()
        else:
            numbers.append(float(value))
    return numbers
