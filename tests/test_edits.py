"""Edits: what changes, by how much, and what is refused."""

from dataclasses import replace

import pytest
import torch

from talk3d.edits import AGE, NOTHING_EDITED, Edit, edited
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.face import load_face_shape
from talk3d.person import average_person


@pytest.fixture(scope="module")
def person():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(replace(GeneratorConfig.tiny(), z_dim=AGE + 9))
        codes = torch.randn(400, AGE + 9)
        codes[:, AGE + 1] = codes[:, AGE]
        generator.set_spread(codes)
        return average_person(generator)


def test_years_move_the_code_as_they_do_among_the_people_learned_from(person):
    older = edited(person, Edit(years=17.9))
    moved = (older.z - person.z)[0]
    assert moved[AGE].item() == pytest.approx(1, abs=1e-4)
    # What is always as old as the age moves with it, and what is chance hardly.
    assert moved[AGE + 1].item() == pytest.approx(1, abs=1e-4)
    assert moved[: AGE - 1].abs().max() < 0.25
    back = edited(older, Edit(years=-17.9))
    torch.testing.assert_close(back.z, person.z)


def test_a_smile_is_added_to_what_every_face_does(person):
    names = load_face_shape().expression_names
    smiling = edited(person, Edit(smile=0.5))
    for face in (torch.zeros(1, 13), torch.randn(1, 13)):
        added = (smiling.drive.weights(face) - person.drive.weights(face))[0]
        wide = {n for n, a in zip(names, added, strict=True) if a > 0}
        assert wide == {
            "mouthSmile_L", "mouthSmile_R", "cheekSquint_L", "cheekSquint_R",
        }  # fmt: skip
        assert added[names.index("mouthSmile_L")].item() == pytest.approx(0.5)
    assert torch.equal(smiling.z, person.z)
    assert not person.drive.expression.any()


def test_statements_tell_of_edits():
    assert NOTHING_EDITED.told() == {}
    assert Edit(smile=0.5, years=-10.0).told() == {"edit": "smile +0.5, years -10"}
    assert Edit(articulation=0.0).told() == {"edit": "articulation 0"}


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"smile": 1.5}, "smile is 1.5: give a number from -1 to 1"),
        ({"years": 90.0}, "years is 90: give a number from -40 to 40"),
        ({"articulation": -0.5}, "articulation is -0.5: give a number from 0 to 2"),
        ({"years": float("nan")}, "years is nan: give a number from -40 to 40"),
    ],
)
def test_what_no_face_does_is_refused(numbers, said):
    with pytest.raises(ValueError, match=said):
        Edit(**numbers)


def test_codes_that_do_not_tell_the_age():
    with torch.random.fork_rng():
        short = average_person(Generator(GeneratorConfig.tiny()))
    with pytest.raises(ValueError, match="which do not tell the age: leave out the"):
        edited(short, Edit(years=5.0))
