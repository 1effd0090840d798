"""Training of the prior: learns, resumes exactly, refuses what does not fit."""

import json
from dataclasses import replace

import pytest
import torch
from tests.drawn import write_ball_corpus

from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.files import load_generator
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.state import PriorTrainConfig, TrainState, load_weights
from talk3d.eg3d.train import train_prior

CONFIG = PriorTrainConfig(
    generator=GeneratorConfig.tiny(),
    steps=4,
    people=1,
    pixels=50,
    times=2,
    held_out=1,
    checkpoint_steps=2,
    half=False,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.open(write_ball_corpus(tmp_path_factory.mktemp("c") / "corpus"))


@pytest.mark.parametrize("stage", ["points", "images", "adversarial"])
def test_a_resumed_run_equals_an_uninterrupted_one(corpus, tmp_path, stage):
    config = replace(CONFIG, stage=stage)
    list(train_prior(corpus, tmp_path / "a", config))
    steps = train_prior(corpus, tmp_path / "b", config)
    for _ in range(3):
        next(steps)
    steps.close()
    list(train_prior(corpus, tmp_path / "b", config))
    first, second = (load_weights(tmp_path / name) for name in "ab")
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=0, rtol=0)


def test_points_learn_the_ball(corpus, tmp_path):
    config = replace(CONFIG, steps=200, people=2, pixels=200)
    metrics = list(train_prior(corpus, tmp_path / "run", config))
    first = sum(m["occupancy"] for m in metrics[:10])
    last = sum(m["occupancy"] for m in metrics[-10:])
    assert last < 0.6 * first


def test_pictures_tell_where_the_surface_is(corpus, tmp_path):
    config = replace(CONFIG, stage="images", steps=60, people=2)
    metrics = list(train_prior(corpus, tmp_path / "run", config))
    first = sum(m["depth"] for m in metrics[:10])
    last = sum(m["depth"] for m in metrics[-10:])
    assert last < 0.6 * first


def test_the_written_prior_loads_and_knows_its_people(corpus, tmp_path):
    list(train_prior(corpus, tmp_path / "run", CONFIG))
    prior = load_generator(tmp_path / "run" / "prior.safetensors")
    assert prior.config == CONFIG.generator
    assert prior.z_spread.abs().sum() > 0
    assert prior.backbone.mapping.w_avg.abs().sum() > 0


def test_a_prior_file_starts_a_run(corpus, tmp_path):
    list(train_prior(corpus, tmp_path / "run", CONFIG))
    from_run = load_weights(tmp_path / "run")
    from_file = load_weights(tmp_path / "run" / "prior.safetensors")
    assert set(from_run) - set(from_file) == {"codes"}
    for name, value in from_file.items():
        torch.testing.assert_close(from_run[name], value, atol=1e-3, rtol=1e-3)
    again = train_prior(corpus, tmp_path / "again", CONFIG, init=from_file)
    assert next(again)["step"] == 1


def test_the_judge_of_a_run_goes_on_in_the_next(corpus, tmp_path):
    config = replace(CONFIG, stage="adversarial")
    list(train_prior(corpus, tmp_path / "run", config))
    init = load_weights(tmp_path / "run")
    state = TrainState.start(config, corpus, [0, 1], init=init)
    judge = state.adversary.network.state_dict()
    assert judge
    for name, value in judge.items():
        torch.testing.assert_close(value, init[f"judge.{name}"], atol=0, rtol=0)


def test_another_configuration_does_not_continue_a_run(corpus, tmp_path):
    list(train_prior(corpus, tmp_path / "run", CONFIG))
    with pytest.raises(ValueError, match="another learning_rate"):
        next(train_prior(corpus, tmp_path / "run", replace(CONFIG, learning_rate=1.0)))


def test_other_pictures_do_not_continue_a_run(corpus, tmp_path):
    list(train_prior(corpus, tmp_path / "run", CONFIG))
    other = Corpus.open(write_ball_corpus(tmp_path / "other", people=5))
    with pytest.raises(ValueError, match="begun with another pictures"):
        next(train_prior(other, tmp_path / "run", replace(CONFIG)))


def test_metrics_hold_each_step_once(corpus, tmp_path):
    steps = train_prior(corpus, tmp_path / "run", CONFIG)
    for _ in range(3):
        next(steps)
    steps.close()
    list(train_prior(corpus, tmp_path / "run", CONFIG))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_one_person_is_enough_to_be_written(corpus, tmp_path):
    config = replace(CONFIG, held_out=int(corpus.person.max()))
    list(train_prior(corpus, tmp_path / "run", config))
    prior = load_generator(tmp_path / "run" / "prior.safetensors")
    assert prior.z_spread.abs().max() == 0


def test_weights_of_another_size_do_not_start_a_run(corpus, tmp_path):
    weights = Generator(replace(GeneratorConfig.tiny(), z_dim=8)).state_dict()
    with pytest.raises(ValueError, match="not those of this run's generator"):
        next(train_prior(corpus, tmp_path / "run", CONFIG, init=weights))


def test_holding_out_everybody_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="nobody is left"):
        next(train_prior(corpus, tmp_path / "run", replace(CONFIG, held_out=9)))


def test_images_are_read_by_index(corpus):
    batch = corpus.batch([4, 0])
    assert batch.person.tolist() == [1, 0]
    assert batch.colour.shape == (2, 3, 32, 32)
    seen = batch.alpha > 0.5
    assert (batch.depth[seen] > 2).all()
    assert (batch.depth[~seen] == 0).all()


def test_a_folder_without_a_corpus_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no corpus folder"):
        Corpus.open(tmp_path)
