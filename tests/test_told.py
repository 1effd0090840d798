"""Lips that go along with the head."""

import numpy as np
import pytest
import torch

from talk3d.told import Turned

AHEAD = np.array([0.2, -0.1, 0.0])
WEIGHT = np.random.default_rng(0).normal(size=(2, 80))


def _turns(spread: float) -> torch.Tensor:
    """Return rotations about another mean than 0; roll says nothing."""
    turns = np.random.default_rng(1).normal(size=(4000, 3)) * [spread, spread, 0.3]
    return torch.from_numpy(turns + AHEAD).float()


@pytest.mark.parametrize("spread", [0.01, 0.1, 1.0])
def test_lips_follow_the_head_the_surer_the_further_it_turned(spread):
    turns = _turns(spread)
    left = (turns.numpy() - AHEAD)[:, :2] @ WEIGHT + 3.0
    found = Turned.of(left, turns)
    believed = spread**2 / (spread**2 + 0.1**2)
    np.testing.assert_allclose(found.weight, believed * WEIGHT, rtol=0.08, atol=0.02)


def test_a_mean_head_leaves_lips_where_sound_puts_them():
    turns = _turns(0.1)
    left = np.random.default_rng(2).normal(size=(4000, 80))
    found = Turned.of(left, turns)
    assert found.lips(turns.mean(0, keepdim=True)).abs().max() < 1e-5
    # By chance: 0.5 * (2 / 4000) ** 0.5.
    assert found.lips(turns).std() < 0.02 * left.std()


def test_a_head_that_keeps_still_tells_nothing():
    left = np.random.default_rng(2).normal(size=(50, 80))
    found = Turned.of(left, torch.zeros(50, 3))
    assert not found.lips(torch.ones(1, 3)).any()
