"""Our own rows: a fit of a few steps, drawn for every shot."""

import numpy as np
import torch
from PIL import Image
from tests.benchmark.turning import turning_task

from talk3d.benchmark.ours import draw_person, fit_person, shortened, unlearned
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.personalize import PersonalizeConfig


def quiet(_stage: str, _part: float) -> None:
    """Report nothing."""


def tiny_prior(path):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_generator(path, Generator(GeneratorConfig.tiny()))
    return path


def test_a_fitted_person_is_drawn_for_every_shot(tmp_path):
    task = turning_task(tmp_path)
    prior = tiny_prior(tmp_path / "prior.safetensors")
    whole = PersonalizeConfig(invert_steps=2, coarse_steps=1)
    config = shortened(whole, 0.001, seed=0)
    assert (config.invert_steps, config.coarse_steps, config.tune_steps) == (2, 1, 2)
    person = tmp_path / "person.safetensors"
    fit_person(task, person, prior=prior, config=config, report=quiet)
    draw_person(task, person, task.row("ours"))
    for shot in task.shots:
        picture = np.asarray(Image.open(task.row("ours") / f"{shot.name}.png"))
        assert picture.shape == (32, 32, 4)
        depth = np.load(task.row("ours") / f"{shot.name}.npy")
        assert np.isfinite(depth.astype(float)).all()
    assert (
        fit_person(task, person, prior=prior, config=config, report=quiet).seconds == 0
    )


def test_the_row_without_a_prior_has_its_sizes_and_other_weights(tmp_path):
    prior = tiny_prior(tmp_path / "prior.safetensors")
    fresh = load_generator(unlearned(prior, tmp_path / "fresh.safetensors", seed=0))
    known = load_generator(prior)
    assert fresh.config == known.config
    weights = dict(known.named_parameters())
    different = [
        k for k, v in fresh.named_parameters() if not torch.equal(v, weights[k])
    ]
    assert len(different) > len(weights) / 2
