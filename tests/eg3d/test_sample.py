"""Sheets of people that a prior makes up."""

import numpy as np
import pytest
import torch

from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.sample import draw_codes, sample_sheet


def make_generator() -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(GeneratorConfig.tiny()).eval().requires_grad_(False)


def test_codes_are_spread_as_the_people_trained_on():
    generator = make_generator()
    chance = torch.Generator().manual_seed(0)
    mixed = torch.randn(16, 16, generator=chance)
    people = 2 + torch.randn(300, 16, generator=chance) @ mixed
    generator.set_spread(people)
    codes = draw_codes(generator, range(3000))
    deviation = people.std(0)
    assert ((codes.mean(0) - people.mean(0)).abs() < 0.1 * deviation).all()
    wanted, found = torch.corrcoef(people.T), torch.corrcoef(codes.T)
    assert wanted.triu(1).abs().max() > 0.5
    torch.testing.assert_close(found, wanted, atol=0.08, rtol=0)
    torch.testing.assert_close(draw_codes(generator, [7])[0], codes[7])


def test_files_that_know_no_covariance_are_read():
    generator = make_generator()
    state = dict(generator.state_dict())
    del state["z_spread"]
    generator.load_state_dict(state | {"z_std": torch.full((16,), 0.5)})
    torch.testing.assert_close(generator.z_spread, 0.5 * torch.eye(16))


def test_a_sheet_has_a_row_per_person_and_a_column_per_view():
    generator = make_generator()
    size = 32
    sheet = sample_sheet(generator, draw_codes(generator, [0, 1]), yaws=(-30.0, 30.0))
    assert sheet.shape == (2 * size, 2 * size, 3)
    assert not np.array_equal(sheet[:size], sheet[size:])


@pytest.mark.parametrize("truncation", [-0.1, 1.1, float("nan")])
def test_other_truncation_is_refused(truncation):
    generator = make_generator()
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        sample_sheet(generator, draw_codes(generator, [0]), truncation=truncation)


def test_no_truncation_left_is_one_person():
    generator = make_generator()
    codes = draw_codes(generator, [0, 1])
    sheet = sample_sheet(generator, codes, yaws=(0.0,), truncation=0.0)
    first, second = np.split(sheet, 2)
    assert np.array_equal(first, second)
