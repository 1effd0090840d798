"""Shares of a training step: one process or two, the same run."""

import socket
from dataclasses import replace

import pytest
import torch
from tests.drawn import write_ball_corpus
from tests.eg3d.test_train import CONFIG

from talk3d.eg3d import train
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.state import load_weights
from talk3d.eg3d.team import Team, joined
from talk3d.eg3d.train import train_prior


def trained(rank, folder, stage, port, out):
    """Train as one of two processes that torchrun started."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("RANK", rank), ("WORLD_SIZE", 2), ("MASTER_PORT", port)):
            patch.setenv(name, str(value))
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        torch.set_num_threads(1)
        config = replace(CONFIG, stage=stage, shares=2, steps=10)
        with joined() as team:
            list(train_prior(Corpus.open(folder), out, config, team=team))


@pytest.mark.parametrize("stage", ["points", "adversarial"])
def test_two_processes_train_as_one_does(tmp_path, stage):
    corpus = write_ball_corpus(tmp_path / "corpus")
    config = replace(CONFIG, stage=stage, shares=2, steps=10)
    list(train_prior(Corpus.open(corpus), tmp_path / "one", config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = (corpus, stage, port, tmp_path / "two")
    torch.multiprocessing.spawn(trained, given, nprocs=2)
    one, two = (load_weights(tmp_path / name) for name in ("one", "two"))
    assert set(one) == set(two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-6)
    rows = [
        (tmp_path / name / "metrics.jsonl").read_text().count("\n")
        for name in ("one", "two")
    ]
    assert rows == [10, 10]


def test_shares_that_are_alike_count_as_one(tmp_path, monkeypatch):
    corpus = Corpus.open(write_ball_corpus(tmp_path / "corpus"))
    chance = train._chance
    monkeypatch.setattr(
        train, "_chance", lambda config, step, _: chance(config, step, 0)
    )
    grads = []
    for shares in (1, 2):
        config = replace(CONFIG, stage="adversarial", shares=shares)
        grads.append(gradients(corpus, tmp_path / str(shares), config))
    assert len(grads[0]) > 10
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(two, one, atol=1e-7, rtol=1e-5)


def gradients(corpus, run, config):
    """Return what each optimiser is given in the first step of a run."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        step = torch.optim.Adam.step

        def noted(self):
            for group in self.param_groups:
                found.extend(
                    p.grad.clone() for p in group["params"] if p.grad is not None
                )
            return step(self)

        patch.setattr(torch.optim.Adam, "step", noted)
        next(train_prior(corpus, run, config))
    return found


def test_shares_that_cannot_be_dealt_out_are_refused():
    assert list(Team(1, 2).own(4)) == [1, 3]
    with pytest.raises(ValueError, match="give --shares 2"):
        Team(0, 2).own(3)
