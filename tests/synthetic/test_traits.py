"""Traits: a fixed number per head model, the same for the same seed."""

import numpy as np
import pytest

from talk3d.edits import AGE
from talk3d.synthetic.builtin import builtin_head
from talk3d.synthetic.people import make_person
from talk3d.synthetic.skull import skin_surface
from talk3d.synthetic.traits import person_traits


@pytest.fixture(scope="module")
def surface():
    return skin_surface(builtin_head())


def test_traits_tell_people_apart(surface):
    first, again, other = (
        person_traits(surface.head, make_person(surface, seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape == other.shape
    assert np.isfinite(first).all()
    assert np.abs(first - other).max() > 0.1


def test_they_fit_into_a_code(surface):
    assert len(person_traits(surface.head, make_person(surface, 0))) <= 256


def test_the_age_stands_where_edits_look_for_it(surface):
    people = [make_person(surface, seed) for seed in (0, 1)]
    ages = [person_traits(surface.head, person)[AGE] for person in people]
    assert ages == pytest.approx([person.looks.age for person in people])
